//! Reading what the command line names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use document::{Code, Fault};
use flow::{FLOW_FILE, FileNames, FlowBundle, Shelf};

use crate::exit;
use crate::output::failure::Failure;

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| {
        let exit = if source.kind() == io::ErrorKind::NotFound { exit::NOT_FOUND } else { exit::OTHER };
        let fault = Fault::new(Code::NoSuchFile, source.to_string()).in_file(path.display().to_string());
        Failure::Fault { fault: Box::new(fault), exit }
    })
}

/// Writes a file that is there anew, whole or not at all; who may read it stays.
pub(crate) fn rewrite(path: &Path, text: &str) -> Result<(), Failure> {
    let attempt = || -> io::Result<()> {
        // A link stays a link.
        let path = fs::canonicalize(path)?;
        let fresh = path.with_extension(uuid::Uuid::new_v4().to_string());
        let written = fs::write(&fresh, text)
            .and_then(|()| fs::set_permissions(&fresh, fs::metadata(&path)?.permissions()))
            .and_then(|()| fs::rename(&fresh, &path));
        written.inspect_err(|_| fs::remove_file(&fresh).unwrap_or_default())
    };
    attempt().map_err(|error| {
        let fault = Fault::new(Code::NoSuchFile, error.to_string()).in_file(path.display().to_string());
        Failure::of(fault, exit::OTHER)
    })
}

/// A flow on disk: its texts, and its folder for showing places.
#[derive(Debug)]
pub(crate) struct FlowFolder {
    pub(crate) bundle: FlowBundle,
    folder: PathBuf,
}

impl FlowFolder {
    /// Reads a flow named by its folder or its flow file. A flow file that cannot be read as TOML still has documents,
    /// of the default names.
    pub(crate) fn read(path: &Path) -> Result<FlowFolder, Failure> {
        let file = if path.is_dir() { path.join(FLOW_FILE) } else { path.to_path_buf() };
        let folder = file.parent().map(Path::to_path_buf).unwrap_or_default();
        let text = read(&file)?;
        let outside = |fault: Fault| Failure::Fault {
            fault: Box::new(fault.in_file(file.display().to_string())),
            exit: exit::INVALID,
        };
        let names = FileNames::of(&text).map_err(outside)?;
        let source = read(&folder.join(&names.source))?;
        let target = read(&folder.join(&names.target))?;
        let texts = names.collections.into_iter().map(|(scheme, name)| Ok((scheme, read(&folder.join(name))?)));
        let collections = texts.collect::<Result<_, Failure>>()?;
        Ok(FlowFolder { bundle: FlowBundle { flow: text, source, target, collections }, folder })
    }

    /// The fault with its file as it lies on disk.
    pub(crate) fn placed(&self, mut fault: Fault) -> Fault {
        fault.place.file = fault.place.file.map(|file| self.folder.join(file).display().to_string());
        fault
    }
}

/// The records that the flow in `folder` gives for lookups; none where it is no flow's folder.
pub(crate) fn collections(folder: &Path) -> Result<Shelf, Failure> {
    let file = folder.join(FLOW_FILE);
    let mut shelf = Shelf::default();
    if !file.is_file() {
        return Ok(shelf);
    }
    let refuse = |fault: Fault| Failure::Fault { fault: Box::new(fault), exit: exit::INVALID };
    let names = FileNames::of(&read(&file)?).map_err(|fault| refuse(fault.in_file(file.display().to_string())))?;
    for (scheme, name) in names.collections {
        let path = folder.join(name);
        shelf.put_file(scheme, &path.display().to_string(), &read(&path)?).map_err(refuse)?;
    }
    Ok(shelf)
}
