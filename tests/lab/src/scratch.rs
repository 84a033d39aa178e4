//! The lab's temporary folder, which goes with the lab however the lab ends.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Waits until the lab is gone (its end of the pipe closes), ends what still works in the folder, and removes it.
/// The lab's processes have the folder as their working directory; that is how they are known.
const REAPER: &str = r#"
read -r _
for working_directory in /proc/[0-9]*/cwd; do
  case "$(readlink "$working_directory" 2>/dev/null)" in
    "$1" | "$1"/*)
      process=${working_directory#/proc/}
      kill -9 "${process%/cwd}" 2>/dev/null
      ;;
  esac
done
rm -rf -- "$1"
"#;

/// A temporary folder with a small process beside it that removes it should the lab be killed.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    reaper: Child,
}

impl Scratch {
    /// Makes the folder and starts its reaper.
    pub fn create() -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("treenail-lab-").tempdir().context("make the lab's folder")?;
        let path = folder.path().canonicalize().context("resolve the lab's folder")?;
        let reaper = Command::new("sh")
            .args(["-c", REAPER, "treenail-lab-reaper"])
            .arg(&path)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches the whole foreground group; the reaper must outlive it.
            .process_group(0)
            .spawn()
            .context("start the reaper of the lab's folder")?;
        let _ = folder.keep();
        Ok(Self { path, reaper })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder below.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Writes a file that only its owner can read.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        use std::io::Write;
        let path = self.path.join(name);
        // Somebody may be reading an earlier version: it is replaced whole. Temporary files are their owner's alone.
        let written = tempfile::NamedTempFile::new_in(&self.path)
            .and_then(|mut file| file.write_all(content.as_ref()).map(|()| file))
            .and_then(|file| file.persist(&path).map_err(std::io::Error::from));
        written.with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The reaper does the work here too: one way to clean up, tried at every end.
        drop(self.reaper.stdin.take());
        let _ = self.reaper.wait();
        let _ = fs::remove_dir_all(&self.path);
    }
}
