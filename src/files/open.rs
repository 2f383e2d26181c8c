//! Opening below a root so that no link leads out of it: the kernel resolves the whole name beneath one directory.
//!
//! `openat2` with `RESOLVE_BENEATH` refuses, at the moment of opening, every way out: an absolute link, `..` above the
//! root, a magic link of `/proc`. Links that stay below the root are followed. Where the kernel or a sandbox has no
//! `openat2`, each segment is opened by itself with `O_NOFOLLOW`: then no link is followed at all.
//!
//! Everything here blocks as long as the disk does, but for [`Way::Cached`]: that gives up with `WOULDBLOCK` as soon as
//! a directory entry is not in memory.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;

/// How long opening may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Only as long as memory takes.
    Cached,
    /// As long as the disk takes.
    Disk,
}

/// A regular file that is open.
#[derive(Debug)]
pub(super) struct Regular {
    pub(super) file: OwnedFd,
    pub(super) length: u64,
    /// When it was changed: seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, u64),
}

/// What a name was found to be.
#[derive(Debug)]
pub(super) enum Found {
    File(Regular),
    Directory,
}

/// How often a lookup is tried that a rename has disturbed.
const TRIES: usize = 3;

/// Opens the folder that nothing leaves. It may itself be reached by any links.
pub(super) fn root(path: &Path, way: Way) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match way {
        Way::Cached => {
            openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).map_err(later)
        }
        Way::Disk => openat(CWD, path, flags, Mode::empty()),
    }
}

/// Opens what `name` is below `root`. What is neither a regular file nor a directory is `NOENT`.
pub(super) fn below(root: BorrowedFd<'_>, name: &str, way: Way) -> Result<Found, Errno> {
    // Without O_NONBLOCK a pipe without a writer would keep us for ever.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match way {
        Way::Cached => {
            let resolve = RESOLVE | ResolveFlags::CACHED;
            openat2(root, name, flags, Mode::empty(), resolve).map_err(later)?
        }
        Way::Disk => match beneath(root, name, flags) {
            // Older than Linux 5.6, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, name, flags)?,
            opened => opened?,
        },
    };
    let stat = fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Found::File(regular(file, &stat))),
        FileType::Directory => Ok(Found::Directory),
        _ => Err(Errno::NOENT),
    }
}

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

fn beneath(root: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mut last = Errno::AGAIN;
    for _ in 0..TRIES {
        match openat2(root, name, flags, Mode::empty(), RESOLVE) {
            // A `..` within a link, and something was renamed meanwhile.
            Err(error @ Errno::AGAIN) => last = error,
            opened => return opened,
        }
    }
    Err(last)
}

/// The same without `openat2`, and without any link.
fn step_by_step(root: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut inside: Option<OwnedFd> = None;
    let mut segments = name.split('/').peekable();
    while let Some(segment) = segments.next() {
        let here = inside.as_ref().map_or(root, AsFd::as_fd);
        if segments.peek().is_none() {
            return openat(here, segment, flags | OFlags::NOFOLLOW, Mode::empty());
        }
        inside = Some(openat(here, segment, folder, Mode::empty())?);
    }
    Err(Errno::NOENT)
}

/// What a kernel says that does not know `RESOLVE_CACHED`, or `openat2` at all, is the other way's business.
const fn later(error: Errno) -> Errno {
    match error {
        Errno::INVAL | Errno::NOSYS | Errno::PERM => Errno::WOULDBLOCK,
        error => error,
    }
}

fn regular(file: OwnedFd, stat: &Stat) -> Regular {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "the types of these fields differ between architectures"
    )]
    let (length, seconds, nanos) = (
        u64::try_from(stat.st_size).unwrap_or(0),
        i64::from(stat.st_mtime),
        u64::try_from(stat.st_mtime_nsec).unwrap_or(0),
    );
    Regular {
        file,
        length,
        modified: (seconds, nanos),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "secret";

    /// A root with every kind of link in it, below a folder whose files nobody may see.
    fn tree() -> tempfile::TempDir {
        let outside = tempfile::tempdir().unwrap();
        let path = outside.path();
        let root = path.join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(path.join("secret"), SECRET).unwrap();
        for file in ["x", "a/x", "a/b/x"] {
            fs::write(root.join(file), "public").unwrap();
        }
        for (to, link) in [
            ("a/x", "inside"),
            ("../x", "a/up"),
            ("../../secret", "a/out"),
            ("../../x", "a/over"),
            ("../root/x", "back"),
            ("..", "parent"),
            ("/etc", "etc"),
            ("/etc/hostname", "absolute"),
            ("/proc/self/root", "a/b/magic"),
            ("loop", "loop"),
            ("nothing", "dangling"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        symlink(root.join("x"), root.join("full")).unwrap();
        rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::RUSR).unwrap();
        outside
    }

    fn read(found: Found) -> Option<String> {
        let Found::File(regular) = found else {
            return None;
        };
        let mut text = String::new();
        fs::File::from(regular.file)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text.len() as u64, regular.length);
        Some(text)
    }

    #[test]
    fn links_are_followed_within_the_root_only() {
        let tree = tree();
        let root = root(&tree.path().join("root"), Way::Disk).unwrap();
        for name in ["x", "a/b/x", "inside", "a/up"] {
            assert_eq!(
                read(below(root.as_fd(), name, Way::Disk).unwrap()).as_deref(),
                Some("public"),
                "{name}"
            );
            assert_eq!(
                read(below(root.as_fd(), name, Way::Cached).unwrap()).as_deref(),
                Some("public"),
                "{name}"
            );
        }
        assert!(matches!(
            below(root.as_fd(), "a", Way::Disk),
            Ok(Found::Directory)
        ));
        for (name, error) in [
            ("nothing", Errno::NOENT),
            ("dangling", Errno::NOENT),
            ("pipe", Errno::NOENT),
            ("x/y", Errno::NOTDIR),
            ("loop", Errno::LOOP),
            ("a/out", Errno::XDEV),
            ("a/over", Errno::XDEV),
            ("back", Errno::XDEV),
            ("parent/secret", Errno::XDEV),
            ("etc/hostname", Errno::XDEV),
            ("absolute", Errno::XDEV),
            ("a/b/magic/etc/hostname", Errno::XDEV),
            ("full", Errno::XDEV),
        ] {
            assert_eq!(
                below(root.as_fd(), name, Way::Disk).unwrap_err(),
                error,
                "{name}"
            );
        }
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let tree = tree();
        let root = root(&tree.path().join("root"), Way::Disk).unwrap();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        for name in ["x", "a/x", "a/b/x"] {
            assert!(step_by_step(root.as_fd(), name, flags).is_ok(), "{name}");
        }
        for name in [
            "inside",
            "a/up",
            "a/out",
            "parent/secret",
            "etc/hostname",
            "full",
            "a/b/magic/etc/hostname",
            "loop",
        ] {
            let error = step_by_step(root.as_fd(), name, flags).unwrap_err();
            assert!(
                matches!(error, Errno::LOOP | Errno::NOTDIR),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn no_path_reads_what_is_outside() {
        let tree = tree();
        let root = root(&tree.path().join("root"), Way::Disk).unwrap();
        let paths =
            "(\\.\\.|\\.|a|b|x|/|\\\\|parent|etc|hostname|secret|out|magic|full|back|%2e|:){1,10}";
        let config = ProptestConfig::with_cases(4096);
        proptest!(config, |(path in paths)| {
            // As it is, and not as a `Name`: the kernel alone holds it back.
            for way in [Way::Disk, Way::Cached] {
                let Ok(found) = below(root.as_fd(), &path, way) else { continue };
                prop_assert!(read(found).is_none_or(|text| text == "public"));
            }
        });
    }
}
