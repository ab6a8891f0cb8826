//! Who may call which RPC, read once from the access option that each RPC declares in the proto.
//!
//! Not here: the layer that asks this table (`rpc/access.rs`) and the exact decision (`domain/access.rs`). Health and
//! reflection are not of our package and so not in the table: the layer knows them.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, DynamicMessage, Value};

use super::DESCRIPTOR_SET;

/// The package whose RPCs must declare their access.
const PACKAGE: &str = "lhfile.v1";
/// The method option of `proto/lhfile/v1/options.proto`.
const ACCESS: &str = "lhfile.v1.access";

/// The coarse gate of one RPC: any open door lets a caller through to the exact decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MethodAccess {
    /// Any one of these permissions, by name.
    pub any_of: Vec<String>,
    /// Visitors pass without a permission.
    pub visitors: bool,
    /// No credential is needed if the request carries a download link.
    pub link: bool,
    /// Any valid credential.
    pub any_caller: bool,
    /// No credential at all.
    pub public: bool,
}

impl MethodAccess {
    /// True if nobody could ever pass: as good as no declaration.
    fn is_closed(&self) -> bool {
        *self == Self::default()
    }
}

/// The access of every RPC of the package, by its HTTP/2 path.
#[derive(Debug, Clone)]
pub struct MethodTable {
    by_path: HashMap<String, MethodAccess>,
}

/// Why there is no table. The server does not start then.
#[derive(Debug, thiserror::Error)]
pub enum MissingAccess {
    /// An RPC does not say who may call it.
    #[error("{path} does not declare who may call it: add the option ({ACCESS})")]
    Rpc {
        /// The RPC, as `/package.Service/Method`.
        path: String,
    },
    /// The descriptor set does not hold what it must.
    #[error("the descriptor set has no {0}")]
    Absent(&'static str),
    /// The descriptor set does not parse.
    #[error("the descriptor set cannot be read: {0}")]
    Descriptor(#[from] prost_reflect::DescriptorError),
}

impl MethodTable {
    /// Reads [`DESCRIPTOR_SET`].
    ///
    /// # Errors
    /// [`MissingAccess::Rpc`] names the first RPC (by path) without the option or with one that opens no door.
    pub fn read() -> Result<Self, MissingAccess> {
        Self::read_from(DescriptorPool::decode(DESCRIPTOR_SET)?)
    }

    fn read_from(pool: DescriptorPool) -> Result<Self, MissingAccess> {
        let access = pool.get_extension_by_name(ACCESS).ok_or(MissingAccess::Absent(ACCESS))?;
        let mut by_path = HashMap::new();
        let mut missing = Vec::new();
        for service in pool.services().filter(|s| s.package_name() == PACKAGE) {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let declared = method.options().get_extension(&access).as_message().map(declared_access);
                match declared {
                    Some(declared) if !declared.is_closed() => drop(by_path.insert(path, declared)),
                    _ => missing.push(path),
                }
            }
        }
        if let Some(path) = missing.into_iter().min() {
            return Err(MissingAccess::Rpc { path });
        }
        if by_path.is_empty() {
            return Err(MissingAccess::Absent("service of package lhfile.v1"));
        }
        Ok(Self { by_path })
    }

    /// The access of the RPC with this HTTP/2 path, e.g. `/lhfile.v1.FileService/UploadFile`. `None`: not an RPC of
    /// this package, so to be denied unless it is known otherwise.
    pub fn get(&self, path: &str) -> Option<&MethodAccess> {
        self.by_path.get(path)
    }

    /// All RPCs with their access, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MethodAccess)> {
        self.by_path.iter().map(|(path, access)| (path.as_str(), access))
    }
}

/// The option's message as our struct. A field the message lacks counts as closed.
fn declared_access(option: &DynamicMessage) -> MethodAccess {
    let flag = |name: &str| option.get_field_by_name(name).is_some_and(|v| v.as_bool() == Some(true));
    let any_of = option.get_field_by_name("any_of").map_or_else(Vec::new, |names| {
        names.as_list().unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_owned).collect()
    });
    MethodAccess {
        any_of,
        visitors: flag("visitors"),
        link: flag("link"),
        any_caller: flag("any_caller"),
        public: flag("public"),
    }
}

#[cfg(test)]
mod tests;
