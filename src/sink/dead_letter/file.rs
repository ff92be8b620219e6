//! Dead letters as lines of a file, synced to disk before their offsets pass.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::envelope::append_line;
use super::{Letter, WriteAttempt};

/// An append-only NDJSON file. A group of letters is written and synced as one; a group that failed half way is cut off
/// again, so every line is whole. A line that a crash left unfinished is ended with a newline when the file is opened.
/// A file that was moved away or deleted is made anew at the next write.
pub(super) struct LetterFile {
    path: PathBuf,
    file: File,
    lines: Vec<u8>,
}

impl LetterFile {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// It cannot be opened for reading and writing: a message that names it.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = open_whole(path).map_err(|error| {
            let path = path.display();
            format!("the dead-letter file {path} cannot be opened: {error}. Make its directory, or allow writing to it")
        })?;
        Ok(Self { path: path.to_owned(), file, lines: Vec::new() })
    }

    /// Writes all letters or none. The flags say which are safe on disk.
    pub(super) fn write(&mut self, letters: &[Letter], pipeline: &str) -> WriteAttempt {
        self.lines.clear();
        for letter in letters {
            append_line(&mut self.lines, &letter.original, letter.place.item, &letter.reject, pipeline);
        }
        match self.append() {
            Ok(()) => WriteAttempt { done: vec![true; letters.len()], too_large: false, fault: None },
            Err(error) => {
                let path = self.path.display();
                let fault = format!(
                    "{} dead letters wait: the file {path} cannot be written: {error}. Free space or allow writing; it is \
                     tried again",
                    letters.len()
                );
                WriteAttempt { done: vec![false; letters.len()], too_large: false, fault: Some(fault) }
            }
        }
    }

    fn append(&mut self) -> io::Result<()> {
        if self.is_same_file() {
            // A group that failed before and could not be cut off must not run into this one.
            end_line(&mut self.file)?;
        } else {
            self.file = open_whole(&self.path)?;
        }
        let start = self.file.seek(SeekFrom::End(0))?;
        let written = self.file.write_all(&self.lines).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // The error to tell is the first one; when this fails too, the next write ends the line.
            let _ = self.file.set_len(start);
        }
        written
    }

    #[cfg(unix)]
    fn is_same_file(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let ours = self.file.metadata().map(|meta| (meta.dev(), meta.ino()));
        let there = std::fs::metadata(&self.path).map(|meta| (meta.dev(), meta.ino()));
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }

    #[cfg(not(unix))]
    fn is_same_file(&self) -> bool {
        true
    }
}

/// Opens the file, ends a line that was left unfinished, and makes sure its directory entry survives a crash.
fn open_whole(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    end_line(&mut file)?;
    file.sync_all()?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(file)
}

fn end_line(file: &mut File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    file.seek(SeekFrom::End(0))?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::dead_letter::envelope::tests::letter;

    fn offsets(path: &Path) -> Vec<i64> {
        let text = std::fs::read_to_string(path).expect("readable");
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .map(|line| line["offset"].as_i64().expect("offset"))
            .collect()
    }

    #[test]
    fn letters_are_appended_after_what_is_there() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("dead.ndjson");
        std::fs::write(&path, "{\"offset\":1}\n{\"cut").expect("written");
        let mut file = LetterFile::open(&path).expect("opens");
        let attempt = file.write(&[letter(2, b"a"), letter(3, b"b")], "relay");
        assert_eq!((attempt.done, attempt.fault), (vec![true, true], None));
        assert_eq!(offsets(&path), [1, 2, 3]);
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(text.lines().nth(1), Some("{\"cut"), "what a crash left is kept, on a line of its own");
    }

    #[test]
    fn a_file_moved_away_is_made_anew() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("dead.ndjson");
        let mut file = LetterFile::open(&path).expect("opens");
        assert!(file.write(&[letter(1, b"a")], "relay").fault.is_none());
        std::fs::rename(&path, directory.path().join("dead.1")).expect("moved");
        assert!(file.write(&[letter(2, b"a")], "relay").fault.is_none());
        assert_eq!(offsets(&path), [2]);
    }

    #[test]
    fn a_full_disk_holds_and_is_named() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        // A device cannot be opened as a whole file, so the handle is put in place.
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("dead.ndjson");
        let mut file = LetterFile::open(&path).expect("opens");
        file.file = OpenOptions::new().read(true).write(true).open(full).expect("opens");
        file.path = full.to_owned();
        let attempt = file.write(&[letter(1, b"a")], "relay");
        assert_eq!(attempt.done, [false]);
        let fault = attempt.fault.expect("a fault");
        assert!(fault.contains("/dev/full"), "{fault}");
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let Err(error) = LetterFile::open(Path::new("/nonexistent/dead.ndjson")) else { panic!("opened") };
        assert!(error.contains("/nonexistent/dead.ndjson") && error.contains("directory"), "{error}");
    }
}
