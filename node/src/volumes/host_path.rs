//! A place of the node. Upstream: pkg/volume/hostpath/host_path.go.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt},
    path::Path,
};

use api::{Value, field::quote};

/// Sees that the place is of the sort that the volume wants, or makes it where the volume says so.
pub fn check(source: &Value) -> Result<(), String> {
    let path = source.str("path");
    if path.split('/').any(|part| part == "..") {
        return Err(format!("invalid HostPath `{path}`: must not contain '..'"));
    }
    let place = Path::new(path);
    let made = match source.str("type") {
        "DirectoryOrCreate" if !place.exists() => fs::DirBuilder::new().recursive(true).mode(0o755).create(place),
        "FileOrCreate" if !place.exists() => {
            fs::OpenOptions::new().append(true).create(true).mode(0o644).open(place).map(drop)
        }
        _ => Ok(()),
    };
    made.map_err(|error| error.to_string())?;
    let (wanted, words) = match source.str("type") {
        "" => return Ok(()),
        "DirectoryOrCreate" | "Directory" => ("Directory", "directory"),
        "FileOrCreate" | "File" => ("File", "file"),
        "Socket" => ("Socket", "socket file"),
        "CharDevice" => ("CharDevice", "character device"),
        "BlockDevice" => ("BlockDevice", "block device"),
        other => return Err(format!("{other} is an invalid volume type")),
    };
    match sort_of(place) {
        Ok(is) if is == wanted => Ok(()),
        Ok(is) => Err(format!("hostPath type check failed: {path} is not a {words}, it's a {is}")),
        Err(why) => {
            Err(format!("hostPath type check failed, {path} is not a {words}, unable to determine its type: {why}"))
        }
    }
}

/// Upstream: hostutil `getFileType`.
fn sort_of(place: &Path) -> Result<&'static str, String> {
    let path = place.display();
    let sort = match fs::metadata(place) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("path {} does not exist", quote(&path.to_string())));
        }
        Err(error) => return Err(error.to_string()),
    };
    Ok(match sort {
        sort if sort.is_socket() => "Socket",
        sort if sort.is_block_device() => "BlockDevice",
        sort if sort.is_char_device() => "CharDevice",
        sort if sort.is_dir() => "Directory",
        sort if sort.is_file() => "File",
        _ => return Err("only recognise file, directory, socket, block device and character device".into()),
    })
}

#[cfg(test)]
mod tests {
    use api::value;

    #[test]
    fn the_place_is_of_the_wanted_sort_or_is_made() {
        let root = tempfile::tempdir().expect("makes one");
        let at = |name: &str| root.path().join(name).to_string_lossy().into_owned();
        let check = |path: &str, kind: &str| super::check(&value!({"path": path, "type": kind}));
        assert_eq!(check("/nowhere", ""), Ok(()), "without a type nobody looks");
        let lacking = check(&at("d"), "Directory").expect_err("is not there");
        assert!(
            lacking.starts_with("hostPath type check failed, ") && lacking.ends_with("does not exist"),
            "{lacking}"
        );
        assert_eq!(check(&at("d/e"), "DirectoryOrCreate"), Ok(()));
        assert_eq!(check(&at("d"), "Directory"), Ok(()));
        assert_eq!(check(&at("d/f"), "FileOrCreate"), Ok(()));
        let file = at("d/f");
        assert_eq!(check(&file, "File"), Ok(()));
        let wrong = format!("hostPath type check failed: {file} is not a directory, it's a File");
        assert_eq!(check(&file, "DirectoryOrCreate"), Err(wrong));
        assert_eq!(check("/dev/null", "CharDevice"), Ok(()));
        assert!(
            check("/dev/null", "Socket").is_err_and(|why| why.ends_with("is not a socket file, it's a CharDevice"))
        );
        assert_eq!(check("/a/../b", ""), Err("invalid HostPath `/a/../b`: must not contain '..'".into()));
        assert_eq!(check("/a", "Pipe"), Err("Pipe is an invalid volume type".into()));
    }
}
