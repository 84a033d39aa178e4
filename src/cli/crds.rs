//! `treenail crds`: prints the CRDs, writes them to files, or compares them with files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use anyhow::{Context, Result};
use clap::Args;

use super::Outcome;
use crate::api::crds;

/// Print the CRDs of everything that Treenail reads.
///
/// NodePool, NodeClaim and EC2NodeClass are Karpenter's: if Karpenter is installed its CRDs are there
/// already, and must not be replaced by these.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  treenail crds | kubectl apply --server-side -f -      install them in a cluster without Karpenter
  treenail crds --write manifests/crds                  write one file for each
  treenail crds --check manifests/crds                  exit 1 if a file is not what would be written")]
pub struct Crds {
    /// Compare with the files in DIR instead of printing; exit 1 and name what differs
    #[arg(long, value_name = "DIR", conflicts_with = "write")]
    check: Option<PathBuf>,
    /// Write one file for each to DIR instead of printing
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

impl Crds {
    pub(super) fn run(self) -> Result<Outcome> {
        let files = generated()?;
        if let Some(directory) = self.check {
            return check(&directory, &files);
        }
        if let Some(directory) = self.write {
            return write(&directory, &files);
        }
        let documents: String = files.values().flat_map(|yaml| ["---\n", yaml]).collect();
        match io::stdout().write_all(documents.as_bytes()) {
            // The reader had enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
            result => result.map(|()| Outcome::Done).context("print the CRDs"),
        }
    }
}

/// The files by name, as they should be.
fn generated() -> Result<BTreeMap<String, String>> {
    let crds = crds::all()?;
    crds.iter().map(|crd| Ok((crd.file_name(), crd.to_yaml()?))).collect()
}

fn write(directory: &Path, files: &BTreeMap<String, String>) -> Result<Outcome> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    for (name, yaml) in files {
        let path = directory.join(name);
        fs::write(&path, yaml).with_context(|| format!("write {}", path.display()))?;
    }
    for name in leftovers(directory, files)? {
        let path = directory.join(name);
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(Outcome::Done)
}

fn check(directory: &Path, files: &BTreeMap<String, String>) -> Result<Outcome> {
    let mut problems = Vec::new();
    for (name, expected) in files {
        let path = directory.join(name);
        match fs::read_to_string(&path) {
            Ok(found) if found == *expected => {}
            Ok(_) => problems.push(format!("{} differs from the types in src/api", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                problems.push(format!("{} is missing", path.display()));
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        }
    }
    for name in leftovers(directory, files)? {
        problems.push(format!("{} belongs to no CRD", directory.join(name).display()));
    }
    if problems.is_empty() {
        return Ok(Outcome::Done);
    }
    let advice = format!("run: treenail crds --write {}", directory.display());
    let lines: String = problems.into_iter().chain(iter::once(advice)).map(|line| line + "\n").collect();
    io::stderr().write_all(lines.as_bytes()).context("print what differs")?;
    Ok(Outcome::Refused)
}

/// Names of YAML files in the directory that are not among the generated ones; none if there is no
/// directory.
fn leftovers(directory: &Path, files: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("list {}", directory.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", directory.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|e| e == "yaml") && !files.contains_key(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
