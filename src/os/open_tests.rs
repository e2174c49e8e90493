use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType as Kind, chown, mknodat};
use rustix::process::{Uid, geteuid};

use super::*;

/// One of each thing that can stand at a path instead of a plain file of ours.
fn hostile(folder: &Path) -> Vec<PathBuf> {
    let at = |name: &str| folder.join(name);
    fs::write(at("precious"), "precious").unwrap();
    mknodat(CWD, at("pipe"), Kind::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    symlink("precious", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("/dev/zero", at("zero")).unwrap();
    fs::hard_link(at("precious"), at("second")).unwrap();
    let mut all = vec!["pipe", "socket", "folder", "link", "dangling", "zero", "second"];
    // Only root can make one, and not everywhere.
    if mknodat(CWD, at("device"), Kind::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 5)).is_ok() {
        all.push("device");
    }
    all.into_iter().map(at).collect()
}

#[test]
fn our_own_files_are_nothing_but_plain_files_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    for path in hostile(folder.path()) {
        let error = own(&path).unwrap_err();
        assert!(check_own_file(&path).is_err(), "{}", path.display());
        assert!(!error.to_string().contains("os error"), "{}: {error}", path.display());
        assert!(own_folder(&path).is_err() || path.ends_with("folder"), "{}", path.display());
    }
    assert_eq!(fs::read_to_string(folder.path().join("precious")).unwrap(), "precious");
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn what_others_own_or_write_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (file, inner) = (folder.path().join("f"), folder.path().join("d"));
    drop(own(&file).unwrap());
    own_folder(&inner).unwrap();
    for path in [&file, &inner] {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 });
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    assert!(own(&file).unwrap_err().to_string().contains("chmod"));
    assert!(own_folder(&inner).unwrap_err().to_string().contains("chmod"));
    if geteuid().is_root() {
        for path in [&file, &inner] {
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
            chown(path, Some(Uid::from_raw(65_533)), None).unwrap();
        }
        assert!(own(&file).unwrap_err().to_string().contains("another user"));
        assert!(own_folder(&inner).unwrap_err().to_string().contains("another user"));
    }
}

#[test]
fn foreign_files_are_plain_ones_and_links_stay_inside() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("bucket");
    fs::create_dir(&root).unwrap();
    fs::write(folder.path().join("outside"), "x").unwrap();
    symlink("../outside", root.join("out")).unwrap();
    for path in hostile(&root) {
        let fine = ["link", "second"].iter().any(|name| path.ends_with(name));
        assert_eq!(plain_below(&path, &root).is_ok(), fine, "{}", path.display());
    }
    assert!(plain(&root.join("out")).is_ok() && check_below(&root.join("link"), &root).is_ok());
    for error in [
        plain_below(&root.join("out"), &root).unwrap_err(),
        check_below(&root.join("out"), &root).unwrap_err(),
    ] {
        assert!(error.to_string().contains("out of the bucket"), "{error}");
    }
    assert!(plain_no_link(&root.join("link")).is_err());
}

#[test]
fn nothing_is_read_beyond_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(read_text(&path, 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
    fs::write(&path, "0123456789").unwrap();
    assert_eq!(read_text(&path, 10).unwrap(), "0123456789");
    // It says that it has no bytes, and has some.
    assert_eq!(read_text(Path::new("/proc/self/status"), 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
}
