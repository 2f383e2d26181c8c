//! The folder in which the account and the certificate of a table are kept, so that a restart orders nothing.
//!
//! Below the folder there is one for each authority, with `account.json` for all tables and `<table>.pem`: key and
//! certificates in one file, which is there as a whole or not at all. Only we may read them. A file is at most 1 MiB.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::Failed;
use crate::tls::{Acme, Chain, Identity, Key};

/// Far more than any chain needs.
const LARGEST: u64 = 1 << 20;

/// Where the files of one table are.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    account: PathBuf,
    certificate: PathBuf,
}

impl Cache {
    pub(super) fn new(acme: &Acme, table: &str) -> Self {
        let folder = acme.cache.join(folder(&acme.directory));
        Self {
            account: folder.join("account.json"),
            certificate: folder.join(format!("{table}.pem")),
        }
    }

    /// The certificate that is kept; `None` if there is none.
    pub(super) async fn certificate(&self) -> Result<Option<Identity>, Failed> {
        let text = read(self.certificate.clone()).await?;
        text.as_deref().map(identity).transpose()
    }

    pub(super) async fn keep_certificate(&self, text: String) -> Result<(), Failed> {
        write(self.certificate.clone(), text).await
    }

    /// The account that is kept; `None` if there is none.
    pub(super) async fn account(&self) -> Result<Option<AccountCredentials>, Failed> {
        let Some(text) = read(self.account.clone()).await? else {
            return Ok(None);
        };
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|source| self.damaged(source))
    }

    /// Whether an account could be kept: the authority makes only so many for one address.
    pub(super) async fn can_keep_account(&self) -> Result<(), Failed> {
        blocking(self.account.clone(), |path| new_beside(path).map(drop)).await
    }

    pub(super) async fn keep_account(&self, account: &AccountCredentials) -> Result<(), Failed> {
        let text = serde_json::to_string(account).map_err(|source| self.damaged(source))?;
        write(self.account.clone(), text).await
    }

    /// Has the next order make a new account. The old one stays beside it.
    pub(super) async fn forget_account(&self) -> Result<(), Failed> {
        let old = self.account.with_extension("json.unknown");
        let moved = tokio::fs::rename(&self.account, old).await;
        moved.map_err(|source| failed(&self.account, source))
    }

    fn damaged(&self, source: serde_json::Error) -> Failed {
        Failed::Account {
            path: self.account.clone(),
            source,
        }
    }
}

/// What is in one file: the key, and the certificates.
pub(super) fn identity(text: &str) -> Result<Identity, Failed> {
    let (chain, key) = (Chain::from_pem(text)?, Key::from_pem(text)?);
    Ok(Identity::new(chain, key)?)
}

/// The folder of an authority: one that is tried out leaves nothing to the real one.
fn folder(directory: &str) -> String {
    let name = directory.strip_prefix("https://").unwrap_or(directory);
    let kept = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let name = name.replace(|c| !kept(c), "_");
    // No name of a folder that leads elsewhere.
    name.trim_start_matches('.').to_owned()
}

fn failed(path: &Path, source: io::Error) -> Failed {
    Failed::Cache {
        path: path.to_owned(),
        source,
    }
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, Failed> {
    let done = spawn_blocking(move || work(&path).map_err(|source| failed(&path, source)));
    done.await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn read(path: PathBuf) -> Result<Option<String>, Failed> {
    blocking(path, |path| {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text)?;
        Ok(Some(text))
    })
    .await
}

/// The old file or the new one is there at every moment, also if the machine fails.
async fn write(path: PathBuf, text: String) -> Result<(), Failed> {
    blocking(path, move |path| {
        let mut new = new_beside(path)?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(path).map_err(|error| error.error)?;
        File::open(folder_of(path))?.sync_all()
    })
    .await
}

/// A file that may take the place of `path`, and is gone if it does not.
fn new_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = folder_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    tempfile::Builder::new().prefix(".new-").tempfile_in(folder)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn cache(folder: &Path) -> Cache {
        let folder = folder
            .join("acme")
            .join(super::folder("https://ca.test:14000/dir"));
        Cache {
            account: folder.join("account.json"),
            certificate: folder.join("main.pem"),
        }
    }

    fn made() -> String {
        let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).unwrap();
        format!("{}{}", made.signing_key.serialize_pem(), made.cert.pem())
    }

    #[tokio::test]
    async fn what_is_kept_is_ours_alone_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        assert!(cache.certificate().await.unwrap().is_none());
        assert!(cache.account().await.unwrap().is_none());
        for text in [made(), made()] {
            cache.keep_certificate(text.clone()).await.unwrap();
            let kept = cache.certificate().await.unwrap().unwrap();
            assert_eq!(kept.first(), identity(&text).unwrap().first());
        }
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let ours = cache.certificate.parent().unwrap();
        assert_eq!((mode(ours), mode(&cache.certificate)), (0o700, 0o600));
        // Nothing half made is left.
        assert_eq!(std::fs::read_dir(ours).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_is_damaged_is_told_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        std::fs::create_dir_all(cache.account.parent().unwrap()).unwrap();
        std::fs::write(&cache.account, "{").unwrap();
        assert!(matches!(cache.account().await, Err(Failed::Account { .. })));
        let half = made().replace("-----END CERT", "");
        for text in ["", "nonsense", &half] {
            std::fs::write(&cache.certificate, text).unwrap();
            assert!(cache.certificate().await.is_err(), "{text}");
        }
        cache.forget_account().await.unwrap();
        assert!(cache.account().await.unwrap().is_none());
        // A file in the place of the folder.
        let blocked = Cache {
            account: cache.certificate.join("account.json"),
            certificate: cache.certificate.join("main.pem"),
        };
        assert!(matches!(
            blocked.keep_certificate(made()).await,
            Err(Failed::Cache { .. })
        ));
    }

    #[test]
    fn each_authority_has_a_folder_that_stays_below() {
        let names = [
            "https://acme-v02.api.letsencrypt.org/directory",
            "https://127.0.0.1:14000/dir",
            "https://../../etc/",
        ];
        let folders = names.map(folder);
        assert_eq!(folders[0], "acme-v02.api.letsencrypt.org_directory");
        assert_eq!(folders[1], "127.0.0.1_14000_dir");
        assert!(!folders[2].contains('/') && !folders[2].starts_with('.'));
    }
}
