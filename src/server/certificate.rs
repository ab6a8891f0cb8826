//! What a certificate says: its names, from when to when it counts.
//!
//! Not here: whether it is to be believed, which rustls decides; whom a name stands for (`rpc/certified.rs`).

use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer as _, ParsedExtension},
};

use crate::{domain::Time, rpc::certified::CertificateNames};

/// What a certificate of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its names.
    pub names: CertificateNames,
    /// From when it counts.
    pub begins: Time,
    /// To when.
    pub ends: Time,
}

/// Reads it.
///
/// # Errors
/// It is no certificate.
pub fn read(der: &[u8]) -> Result<Said, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| format!("no certificate: {error}"))?;
    let validity = certificate.validity();
    Ok(Said {
        names: names_of(&certificate),
        begins: Time::from_secs(validity.not_before.timestamp()),
        ends: Time::from_secs(validity.not_after.timestamp()),
    })
}

/// The names of one that rustls has verified; none if it cannot be read: it stands for nobody then.
pub fn names(der: &[u8]) -> CertificateNames {
    X509Certificate::from_der(der).map(|(_, certificate)| names_of(&certificate)).unwrap_or_default()
}

/// Alternative names first, in their order; the subject's common name, if it has exactly one, last.
fn names_of(certificate: &X509Certificate<'_>) -> CertificateNames {
    let alternative = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let alternative = alternative.flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(format!("dns:{}", name.to_ascii_lowercase())),
        GeneralName::URI(uri) => Some(format!("uri:{uri}")),
        _ => None,
    });
    let mut common = certificate.subject().iter_common_name().map(|name| name.as_str());
    let only = match (common.next(), common.next()) {
        (Some(Ok(name)), None) => Some(format!("cn:{name}")),
        _ => None,
    };
    alternative.chain(only).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn der(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec()
    }

    #[test]
    fn alternative_names_come_before_the_common_name() {
        let der = der(|params| {
            params.distinguished_name.push(DnType::CommonName, "backend");
            params.subject_alt_names = vec![
                SanType::DnsName("Backend.Chat.internal".try_into().expect("ASCII")),
                SanType::IpAddress([127, 0, 0, 1].into()),
                SanType::URI("spiffe://chat/Backend".try_into().expect("ASCII")),
            ];
        });
        let expected = ["dns:backend.chat.internal", "uri:spiffe://chat/Backend", "cn:backend"];
        assert_eq!(names(&der), expected.map(str::to_owned).into_iter().collect());
        assert_eq!(read(&der).expect("a certificate").names, names(&der));
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        assert_eq!(names(b"no certificate"), CertificateNames::default());
        assert!(read(b"no certificate").is_err());
        assert_eq!(names(&der(|_| {})), CertificateNames::default());
    }

    #[test]
    fn it_says_from_when_to_when_it_counts() {
        let der = der(|params| {
            params.not_before = rcgen::date_time_ymd(2026, 1, 2);
            params.not_after = rcgen::date_time_ymd(2026, 1, 3);
        });
        let said = read(&der).expect("a certificate");
        assert_eq!((said.begins, said.ends), (Time::from_secs(1_767_312_000), Time::from_secs(1_767_398_400)));
    }
}
