//! Services that need no token: a name in the client's certificate, which the transport has verified, says who calls.
//!
//! Not here: the verification and the reading of certificates (the server), and when a token counts instead
//! (`access.rs`).

use std::{collections::HashMap, sync::Arc};

use crate::domain::Caller;

/// The names of a connection's client certificate, as `dns:NAME`, `uri:URI`, `cn:NAME`, the most telling first. None: the
/// client has shown none. In the extensions of every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames(Arc<[String]>);

impl FromIterator<String> for CertificateNames {
    fn from_iter<I: IntoIterator<Item = String>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl CertificateNames {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Which service a name stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertifiedCallers(HashMap<String, Caller>);

impl FromIterator<(String, Caller)> for CertifiedCallers {
    fn from_iter<I: IntoIterator<Item = (String, Caller)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl CertifiedCallers {
    /// The service of the first name that stands for one. A certificate of other names gives nobody.
    pub fn find(&self, names: &CertificateNames) -> Option<Caller> {
        names.iter().find_map(|name| self.0.get(name)).cloned()
    }
}
