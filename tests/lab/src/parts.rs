//! Where the built parts of the lab are: the control plane, the EC2 endpoint and Treenail itself.
//!
//! Nothing is built here; `make lab` does that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The folders and executables that the lab starts its processes from.
#[derive(Clone, Debug)]
pub struct Parts {
    /// etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl in one executable.
    pub control_plane: PathBuf,
    /// kubectl under its own name.
    pub kubectl: PathBuf,
    /// The Python interpreter of the virtual environment that holds moto.
    pub moto_python: PathBuf,
    /// The script that starts moto with a filled account.
    pub moto_server: PathBuf,
}

impl Parts {
    /// Finds the parts beside the running executable, in Cargo's target folder.
    pub fn find() -> Result<Self> {
        let executable = std::env::current_exe().context("find the running executable")?;
        let built = executable.ancestors().map(|folder| folder.join("lab")).find(|lab| lab.is_dir());
        let built = built.context("the lab's parts are not built: run `make lab` first")?;
        let parts = Self {
            control_plane: built.join("bin/control-plane"),
            kubectl: built.join("bin/kubectl"),
            moto_python: built.join("moto/bin/python"),
            moto_server: Path::new(env!("CARGO_MANIFEST_DIR")).join("moto/server.py"),
        };
        for part in [&parts.control_plane, &parts.kubectl, &parts.moto_python, &parts.moto_server] {
            ensure!(part.exists(), "{} is missing: run `make lab` first", part.display());
        }
        Ok(parts)
    }
}
