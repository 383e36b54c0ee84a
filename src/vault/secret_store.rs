//! Where ostler keeps the secrets that it stores, and what a person calls that place.

use std::fmt;
use std::path::PathBuf;

/// The variable with the absolute path of a folder that stands in for the keyring: see [`super::folder`].
const SECRETS_FOLDER: &str = "OSTLER_SECRETS";

/// Where ostler keeps the secrets that it stores. As a text it is what every message calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretStore {
    /// The keyring of the system.
    Keyring,
    /// The folder that stands in for the keyring, for a service or a container.
    Folder(PathBuf),
}

impl SecretStore {
    /// The place of this process, by its environment. Windows has its Credential Manager wherever ostler runs.
    pub(crate) fn of_this_ostler() -> Self {
        let folder = std::env::var_os(SECRETS_FOLDER).filter(|folder| cfg!(unix) && !folder.is_empty());
        folder.map_or(Self::Keyring, |folder| Self::Folder(folder.into()))
    }

    /// What the settings page calls it, where the word "keyring" alone would say too little.
    #[cfg(feature = "web")]
    pub(crate) fn on_the_page(&self) -> String {
        match self {
            Self::Keyring => "this computer's keyring".to_owned(),
            Self::Folder(_) => self.to_string(),
        }
    }

    /// What a person at the settings page can do before they try again.
    #[cfg(feature = "web")]
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Keyring => {
                "Unlock your keyring (it is usually unlocked when you log in to your computer), then try again."
            }
            Self::Folder(_) => "Mend that on the computer that ostler runs on, then try again.",
        }
    }
}

impl fmt::Display for SecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("the keyring"),
            Self::Folder(folder) => write!(f, "the folder {}", folder.display()),
        }
    }
}
