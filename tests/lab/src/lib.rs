//! A real Kubernetes control plane, an EC2 endpoint and hollow kubelets on one machine.
