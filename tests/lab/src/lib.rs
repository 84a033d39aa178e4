//! A real Kubernetes cluster on one machine, for tests and for the demo.
//!
//! Without a container engine and without a cloud account: etcd, kube-apiserver, kube-controller-manager and
//! kube-scheduler run as they are, moto answers for EC2, and hollow kubelets turn the user data of running instances
//! into nodes. Everything listens on loopback, works in one temporary folder, and goes when its process goes, however
//! that ends.
//!
//! In reading order: [`lab`] puts the parts together; [`control_plane`], [`ec2`] and [`kubelet`] are the parts;
//! [`shared`], [`users`], [`kubectl`], [`user_data`] and [`wait`] are how a test speaks to them; [`process`], [`scratch`], [`ports`],
//! [`certificates`], [`parts`] and [`signals`] are what they stand on. [`timeline`] notes when things happen; [`latency`] measures by it. [`treenail`] runs Treenail beside it all, as a program like
//! any other, and [`balancer`] stands in for its Service.

pub mod balancer;
pub mod certificates;
pub mod control_plane;
pub mod demo;
pub mod ec2;
pub mod kubectl;
pub mod kubelet;
pub mod lab;
pub mod latency;
pub mod parts;
pub mod ports;
pub mod process;
pub mod scratch;
pub mod shared;
pub mod signals;
pub mod timeline;
pub mod treenail;
pub mod user_data;
pub mod users;
pub mod wait;

pub use lab::Lab;
pub use user_data::UserData;
pub use users::User;

/// The name that EC2's tags and the nodes' user data know the cluster by.
pub const CLUSTER_NAME: &str = "lab";
