//! The services that the configuration names for certificates.
//!
//! Not here: how a certificate is read (`certificate.rs`), and when it counts (`rpc/access.rs`).

use crate::{
    config::{CertifiedConfig, TlsConfig},
    domain::{Caller, ChatSet, Permission, Permissions, Person, permission::ALL_PERMISSIONS},
    rpc::certified::CertifiedCallers,
};

/// All of them.
///
/// # Errors
/// An id or a name that is none, with what to write.
pub fn callers(config: &TlsConfig) -> Result<CertifiedCallers, String> {
    config
        .callers
        .iter()
        .map(|entry| caller(entry).map_err(|e| format!("tls.callers: {}: {e}", entry.certificate)))
        .collect()
}

fn caller(entry: &CertifiedConfig) -> Result<(String, Caller), String> {
    let CertifiedConfig { certificate, service, permissions, chats } = entry;
    let person =
        Person::Service(service.parse().map_err(|e: crate::domain::Refusal| format!("service: {}", e.message))?);
    // A typing error would be a right that is missing, and nobody would know why.
    let known = |name: &&String| *name == ALL_PERMISSIONS || Permission::find(name).is_some();
    if let Some(unknown) = permissions.iter().find(|name| !known(name)) {
        let names: Vec<_> = Permission::ALL.iter().map(|permission| permission.name()).collect();
        return Err(format!("there is no permission {unknown:?}; known: *, {}", names.join(", ")));
    }
    let permissions = Permissions::from_names(permissions.iter().map(String::as_str));
    let chats = ChatSet::from_ids(chats.iter().map(String::as_str)).map_err(|e| format!("chats: {}", e.message))?;
    // Names of hosts are the same in either case.
    let name = certificate
        .strip_prefix("dns:")
        .map_or_else(|| certificate.clone(), |n| format!("dns:{}", n.to_ascii_lowercase()));
    Ok((name, Caller { person, permissions, chats, vid: None, ceiling: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(certificate: &str, service: &str, permission: &str, chat: &str) -> Result<(String, Caller), String> {
        caller(&CertifiedConfig {
            certificate: certificate.to_owned(),
            service: service.to_owned(),
            permissions: vec![permission.to_owned()],
            chats: vec![chat.to_owned()],
        })
    }

    #[test]
    fn entry_is_a_service_with_what_it_may() {
        let (name, caller) = of("dns:Backend.internal", "backend", "use_operator", "42").expect("good");
        assert_eq!((name.as_str(), caller.person.to_string().as_str()), ("dns:backend.internal", "service:backend"));
        assert!(caller.has(Permission::UseOperator) && !caller.has(Permission::ActAs));
        assert!(caller.chats.contains(&"42".parse().expect("an id")) && caller.chats != ChatSet::All);
        assert_eq!(of("cn:B", "b", "*", "*").expect("good").1.permissions, Permissions::all());
    }

    #[test]
    fn typing_error_is_refused_and_not_a_right_that_is_missing() {
        assert!(of("cn:b", "b", "use_operater", "42").expect_err("unknown").contains("use_operator"));
        assert!(of("cn:b", "a b", "*", "42").expect_err("no id").contains("service"));
        assert!(of("cn:b", "b", "*", "a b").expect_err("no id").contains("chats"));
    }
}
