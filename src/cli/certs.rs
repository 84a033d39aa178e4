//! `treenail certs`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::{Outcome, explain};
use crate::config::host;
use crate::ports::clock::{Clock, WallClock};
use crate::tls::authority::Authority;

/// Make a certificate authority and a certificate that it signed.
///
/// Writes ca.crt, ca.key, tls.crt and tls.key. For development, and for replacing the authority of a running webhook; see
/// certs/README.md. Existing files are left alone unless --force is given.
#[derive(Args, Debug)]
pub struct Certs {
    /// Folder to write to.
    #[arg(long, default_value = "certs")]
    directory: PathBuf,
    /// A DNS name or address that the certificate is for; may be given several times.
    #[arg(long = "name", default_value = "treenail-webhook.treenail-system.svc", value_parser = host)]
    names: Vec<String>,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

impl Certs {
    /// Writes the files; refuses to replace any without --force.
    pub(super) fn run(self) -> Result<Outcome> {
        if self.directory.exists() && !self.directory.is_dir() {
            bail!(
                "--directory {} is a file; name a folder, or one that is to be made",
                self.directory.display()
            );
        }
        let files = ["ca.crt", "ca.key", "tls.crt", "tls.key"].map(|name| self.directory.join(name));
        let existing: Vec<_> =
            files.iter().filter(|path| path.exists()).map(|path| path.display().to_string()).collect();
        if !existing.is_empty() && !self.force {
            let (exist, them) = if existing.len() == 1 { ("exists", "it") } else { ("exist", "them") };
            explain(&format!("{} {exist}; --force replaces {them}", existing.join(", ")));
            return Ok(Outcome::Refused);
        }
        let now = WallClock.now();
        let authority = Authority::generate(now)?;
        let signed = authority.sign(&self.names, now)?;
        fs::create_dir_all(&self.directory).with_context(|| format!("make {}", self.directory.display()))?;
        let contents = [&authority.bundle, &authority.key, &signed.certificate, &signed.key];
        for (path, content) in files.iter().zip(contents) {
            write(path, content).with_context(|| format!("write {}", path.display()))?;
        }
        explain(&format!("wrote {}", files.map(|path| path.display().to_string()).join(", ")));
        Ok(Outcome::Done)
    }
}

/// Only the owner may read what is written.
fn write(path: &Path, content: &str) -> std::io::Result<()> {
    // Permissions are those of a new file.
    let _ = fs::remove_file(path);
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content.as_bytes())
}
