//! Treenail gives each team's pods nodes of their own: an admission webhook that injects and checks
//! tolerations and node selectors, and a controller that launches the matching EC2 nodes.

pub mod model;
