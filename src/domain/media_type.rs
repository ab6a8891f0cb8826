//! What bytes are, what an extension promises, and whether the two agree.

/// How far a look into archives may go: the scanner's own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Most bytes that all members of all depths may unpack to, together.
    pub max_unpacked_bytes: u64,
    /// Most bytes that one member may unpack to.
    pub max_member_bytes: u64,
    /// Most members of all depths.
    pub max_members: u32,
    /// Deepest nesting; the file itself is depth 1.
    pub max_depth: u32,
}

/// What was seen in the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Width and height in pixels, read from the header, of an image.
    pub pixels: Option<(u32, u32)>,
}
