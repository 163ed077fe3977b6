//! Text files that people name: read within a bound, and nothing that waits for somebody who may never write.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Descriptors that whoever started the process has handed over, as a shell does for `<(…)`: their writers are there.
const HANDED_OVER: [&str; 3] = ["/dev/fd", "/proc/self/fd", "/dev/stdin"];

/// The empty file of the system.
const NOTHING: &str = "/dev/null";

/// The text of a file of at most `most` bytes. Errors where it is longer, is no UTF-8, or is neither a regular file nor a
/// descriptor that was handed over: to open a named pipe waits for its writer, and some devices have no end.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let kind = fs::metadata(path)?.file_type();
    let handed_over = HANDED_OVER.iter().any(|place| path.starts_with(place));
    if kind.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    if !(kind.is_file() || handed_over || path == Path::new(NOTHING)) {
        let words = "it is no regular file but a device, a named pipe or a socket";
        return Err(io::Error::new(ErrorKind::InvalidInput, words));
    }
    read_text_from(File::open(path)?, most)
}

/// The text that comes from somewhere, of at most `most` bytes.
pub fn read_text_from(from: impl Read, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    // Before anything else is said of it: the end of what was read may be half a letter.
    if bytes.len() as u64 > most {
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_without_an_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("fits"), "four").unwrap();
        assert_eq!(read_text(&at("fits"), 4).unwrap(), "four");
        let told = |path: &Path, most: u64| read_text(path, most).unwrap_err().to_string();
        assert_eq!(told(&at("fits"), 3), "it has more than 3 bytes");
        fs::write(at("cut"), "aä").unwrap();
        assert_eq!(told(&at("cut"), 2), "it has more than 2 bytes");
        fs::write(at("bytes"), [0xff]).unwrap();
        assert_eq!(told(&at("bytes"), 4), "it is no text in UTF-8");
        assert_eq!(told(folder.path(), 4), "it is a folder");
        assert!(told(&at("none"), 4).contains("No such file"));
        // A name that leads to a device is one.
        std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();
        for endless in [Path::new("/dev/zero"), &at("zero")] {
            assert!(told(endless, 4).contains("no regular file"));
        }
        assert_eq!(read_text(Path::new(NOTHING), 4).unwrap(), "");
        assert_eq!(read_text_from(&b"four"[..], 4).unwrap(), "four");
        let endless = read_text_from(io::repeat(0), 9).unwrap_err();
        assert_eq!(endless.to_string(), "it has more than 9 bytes");
    }
}
