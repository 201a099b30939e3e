//! The bounds of a batch, enforced where it is built.

/// What one batch may hold. The builder refuses what is larger and says which bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows in a batch. A full builder is finished and another begun.
    pub rows: u32,
    /// Bytes of all tables of a batch. A full builder is finished and another begun.
    pub batch_bytes: u32,
    /// Bytes of one point: its series, its fields and their text.
    pub point_bytes: u32,
    /// Bytes of a measurement name, a tag key or a field key.
    pub name_bytes: u32,
    /// Bytes of a tag value.
    pub tag_value_bytes: u32,
    /// Tags of a series.
    pub tags: u32,
    /// Fields of a point.
    pub fields: u32,
}

impl Limits {
    /// The defaults: 65,536 rows, 16 MiB a batch, 4 MiB a point, names and tag values of 65,535
    /// bytes (InfluxDB's bound for a whole series key), 1,024 tags and 16,384 fields.
    pub const DEFAULT: Limits = Limits {
        rows: 65_536,
        batch_bytes: 16 << 20,
        point_bytes: 4 << 20,
        name_bytes: 65_535,
        tag_value_bytes: 65_535,
        tags: 1_024,
        fields: 16_384,
    };

    /// Bytes of one line of text that a parser reads, without its line end: 4 MiB, so that one
    /// line can hold the largest point. `max_line_bytes` in `[agent]` changes it.
    pub const MAX_LINE_BYTES: usize = 4 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why the builder refused a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The measurement name is empty.
    EmptyName,
    /// A field key is empty.
    EmptyFieldKey,
    /// The point has no field (left: those whose number was not finite).
    NoFields,
    /// A name, a tag value or the whole point is over its bound, or there are too many tags or
    /// fields: what, how much there was, and the bound.
    TooLarge {
        /// What was measured, such as `measurement name`.
        what: &'static str,
        /// What it measured.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The batch is full: finish it and begin another.
    Full,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::EmptyName => f.write_str("the measurement name is empty"),
            Refused::EmptyFieldKey => f.write_str("a field key is empty"),
            Refused::NoFields => f.write_str("the point has no field"),
            Refused::TooLarge { what, size, limit } => {
                write!(f, "{what} of {size} is over the limit of {limit}")
            }
            Refused::Full => f.write_str("the batch is full"),
        }
    }
}

impl std::error::Error for Refused {}
