//! A set of tables as it crosses the interface, and its safe owner.
//!
//! A set is immutable once made and counted by reference. Whoever made it supplies the two
//! functions that count; libraries are never unloaded, so the functions outlive every set.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::memory::{Buffer, Plain, as_bytes};
use crate::batch::layout::{Field, Row, Series, Shape, Symbol, Tag, section};

/// The version of the batch layout that this crate writes.
pub const LAYOUT_VERSION: u32 = 0x0001_0000;

/// Bytes of a head of version 1.0, which every later one has.
const HEAD_BYTES: u32 = 40;

/// The head of a set of tables. Later versions may be longer: `size` tells.
#[repr(C)]
#[derive(Debug)]
pub struct RawTables {
    /// Bytes of this head.
    pub size: u32,
    /// Layout version, major in the high half.
    pub version: u32,
    /// Number of sections.
    pub section_count: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// The directory of sections.
    pub sections: *const RawSection,
    /// Adds one owner.
    pub retain: unsafe extern "C" fn(*const RawTables),
    /// Takes one owner away; the last one frees the set.
    pub release: unsafe extern "C" fn(*const RawTables),
}

/// One entry of the directory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawSection {
    /// What the section is, see [`section`].
    pub id: u32,
    /// [`section::MUST_UNDERSTAND`].
    pub flags: u32,
    /// Bytes of one element.
    pub element_size: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// First element, aligned to 8 bytes.
    pub data: *const u8,
    /// Number of elements.
    pub len: u64,
}

/// The tables that this version knows, as slices.
#[derive(Clone, Copy)]
struct Known {
    arena: (*const u8, usize),
    symbols: (*const Symbol, usize),
    series: (*const Series, usize),
    tags: (*const Tag, usize),
    shapes: (*const Shape, usize),
    fields: (*const Field, usize),
    rows: (*const Row, usize),
    values: (*const u64, usize),
    selection: (*const u64, usize),
}

/// One owner of a set of tables.
pub struct Tables {
    raw: NonNull<RawTables>,
    known: Known,
}

// SAFETY: the set is immutable, and counting is atomic by contract of the interface.
unsafe impl Send for Tables {}
// SAFETY: as above.
unsafe impl Sync for Tables {}

/// Why a set of tables from elsewhere was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed batch: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl Tables {
    /// Takes over one owner of a set that came through the interface. Checks the head and the
    /// directory; what the tables say is checked by [`validate`](crate::batch::validate).
    ///
    /// # Safety
    /// `raw` is null or points to a live set whose pointers and lengths are true; the caller gives
    /// its ownership away, also if this fails.
    pub unsafe fn from_raw(raw: *const RawTables) -> Result<Tables, Malformed> {
        let Some(pointer) = NonNull::new(raw.cast_mut()) else {
            return Err(Malformed("no tables".into()));
        };
        let empty = Known {
            arena: (NonNull::dangling().as_ptr(), 0),
            symbols: (NonNull::dangling().as_ptr(), 0),
            series: (NonNull::dangling().as_ptr(), 0),
            tags: (NonNull::dangling().as_ptr(), 0),
            shapes: (NonNull::dangling().as_ptr(), 0),
            fields: (NonNull::dangling().as_ptr(), 0),
            rows: (NonNull::dangling().as_ptr(), 0),
            values: (NonNull::dangling().as_ptr(), 0),
            selection: (NonNull::dangling().as_ptr(), 0),
        };
        let mut tables = Tables { raw: pointer, known: empty };
        // SAFETY: the caller vouches for the head.
        let head = unsafe { pointer.as_ref() };
        if head.version >> 16 != LAYOUT_VERSION >> 16 {
            return Err(Malformed(format!(
                "layout version {}.{}, this side reads {}.x",
                head.version >> 16,
                head.version & 0xffff,
                LAYOUT_VERSION >> 16
            )));
        }
        if head.size < HEAD_BYTES {
            return Err(Malformed(format!("a head of {} bytes", head.size)));
        }
        if head.section_count > 1024 {
            return Err(Malformed(format!("{} sections", head.section_count)));
        }
        let mut known = empty;
        for entry in tables.sections() {
            if entry.data.is_null() || !(entry.data as usize).is_multiple_of(8) {
                if entry.len == 0 {
                    continue;
                }
                return Err(Malformed(format!("section {} is not aligned", entry.id)));
            }
            match entry.id {
                section::ARENA => known.arena = typed(entry)?,
                section::SYMBOLS => known.symbols = typed(entry)?,
                section::SERIES => known.series = typed(entry)?,
                section::TAGS => known.tags = typed(entry)?,
                section::SHAPES => known.shapes = typed(entry)?,
                section::FIELDS => known.fields = typed(entry)?,
                section::ROWS => known.rows = typed(entry)?,
                section::VALUES => known.values = typed(entry)?,
                section::SELECTION => known.selection = typed(entry)?,
                unknown if entry.flags & section::MUST_UNDERSTAND != 0 => {
                    return Err(Malformed(format!(
                        "section {unknown} must be understood and is not known here"
                    )));
                }
                _ => {}
            }
        }
        tables.known = known;
        Ok(tables)
    }

    /// Gives the ownership away as a pointer.
    pub fn into_raw(self) -> *const RawTables {
        ManuallyDrop::new(self).raw.as_ptr()
    }

    /// The directory, unknown sections too.
    pub fn sections(&self) -> &[RawSection] {
        // SAFETY: the maker of the set vouches for its head; it lives as long as `self`.
        unsafe {
            let head = self.raw.as_ref();
            if head.section_count == 0 || head.sections.is_null() {
                return &[];
            }
            std::slice::from_raw_parts(head.sections, head.section_count as usize)
        }
    }

    /// The bytes of a section's elements.
    pub fn section_bytes(&self, entry: &RawSection) -> &[u8] {
        let bytes = entry.len as usize * entry.element_size as usize;
        if bytes == 0 {
            return &[];
        }
        // SAFETY: `from_raw` relied on the same promise of the maker.
        unsafe { std::slice::from_raw_parts(entry.data, bytes) }
    }
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $type:ty) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(&self) -> &[$type] {
            // SAFETY: `from_raw` took pointer and length from the directory, which the maker
            // vouches for; element size and alignment were checked.
            unsafe { std::slice::from_raw_parts(self.known.$name.0, self.known.$name.1) }
        }
    };
}

impl Tables {
    table!(
        /// The text.
        arena, u8);
    table!(
        /// The symbol table.
        symbols, Symbol);
    table!(
        /// The series table.
        series, Series);
    table!(
        /// The tag table.
        tags, Tag);
    table!(
        /// The shape table.
        shapes, Shape);
    table!(
        /// The field table.
        fields, Field);
    table!(
        /// The rows.
        rows, Row);
    table!(
        /// The payloads.
        values, u64);
    table!(
        /// The words of a selection.
        selection, u64);

    /// The text at a place of the arena; empty if the place is outside.
    #[inline]
    pub fn text(&self, offset: usize, len: usize) -> &str {
        let bytes = self.arena().get(offset..offset.wrapping_add(len)).unwrap_or_default();
        utf8(bytes)
    }
}

/// Text of a validated arena.
#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> &str {
    debug_assert!(std::str::from_utf8(bytes).is_ok());
    // SAFETY: a builder takes text as `&str` or checks it, and batches of others are validated,
    // place by place, before anybody reads them (`batch::validate`).
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

impl Clone for Tables {
    fn clone(&self) -> Self {
        // SAFETY: the set is alive as long as `self`.
        unsafe { (self.raw.as_ref().retain)(self.raw.as_ptr()) };
        Tables { raw: self.raw, known: self.known }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // SAFETY: `self` is one owner and goes away.
        unsafe { (self.raw.as_ref().release)(self.raw.as_ptr()) }
    }
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables")
            .field("series", &self.series().len())
            .field("shapes", &self.shapes().len())
            .field("rows", &self.rows().len())
            .field("arena", &self.arena().len())
            .finish()
    }
}

fn typed<T: Plain>(entry: &RawSection) -> Result<(*const T, usize), Malformed> {
    if entry.element_size as usize != size_of::<T>() {
        return Err(Malformed(format!(
            "section {} has elements of {} bytes, not {}",
            entry.id,
            entry.element_size,
            size_of::<T>()
        )));
    }
    if entry.len > u32::MAX as u64 {
        return Err(Malformed(format!("section {} has {} elements", entry.id, entry.len)));
    }
    Ok((entry.data.cast(), entry.len as usize))
}

/// Buffers that become a set of tables, and whatever a copy shares with the set it came from.
#[derive(Default)]
pub struct TableSet {
    /// See [`section`].
    pub arena: Buffer<u8>,
    /// See [`section`].
    pub symbols: Buffer<Symbol>,
    /// See [`section`].
    pub series: Buffer<Series>,
    /// See [`section`].
    pub tags: Buffer<Tag>,
    /// See [`section`].
    pub shapes: Buffer<Shape>,
    /// See [`section`].
    pub fields: Buffer<Field>,
    /// See [`section`].
    pub rows: Buffer<Row>,
    /// See [`section`].
    pub values: Buffer<u64>,
    /// See [`section`].
    pub selection: Buffer<u64>,
    /// Sections that are not known here: id, flags, element size, bytes.
    pub carried: Vec<(u32, u32, u32, Buffer<u64>, u64)>,
    /// A set whose sections stand in for those that are empty here.
    pub shared: Option<Tables>,
}

/// Sections this version writes, before those it only carries.
const OWN_SECTIONS: usize = 9;

#[repr(C)]
struct Made {
    head: RawTables,
    owners: AtomicUsize,
    set: TableSet,
    inline: [RawSection; OWN_SECTIONS],
    extra: Vec<RawSection>,
}

impl TableSet {
    /// Bytes of memory that the buffers hold.
    pub fn block_bytes(&self) -> usize {
        self.arena.block_bytes()
            + self.symbols.block_bytes()
            + self.series.block_bytes()
            + self.tags.block_bytes()
            + self.shapes.block_bytes()
            + self.fields.block_bytes()
            + self.rows.block_bytes()
            + self.values.block_bytes()
            + self.selection.block_bytes()
    }

    /// Freezes the buffers into a set with one owner.
    pub fn freeze(self) -> Tables {
        let none = RawSection {
            id: 0,
            flags: 0,
            element_size: 0,
            reserved: 0,
            data: std::ptr::null(),
            len: 0,
        };
        let mut made = Box::new(Made {
            head: RawTables {
                size: size_of::<RawTables>() as u32,
                version: LAYOUT_VERSION,
                section_count: 0,
                flags: 0,
                sections: std::ptr::null(),
                retain: made_retain,
                release: made_release,
            },
            owners: AtomicUsize::new(1),
            set: self,
            inline: [none; OWN_SECTIONS],
            extra: Vec::new(),
        });
        let mut count = 0;
        let mut put = |entry: RawSection| {
            made.inline[count] = entry;
            count += 1;
        };
        let set = &made.set;
        let shared = set.shared.as_ref().map(Tables::sections).unwrap_or_default();
        let own = [
            entry(section::ARENA, &set.arena),
            entry(section::SYMBOLS, &set.symbols),
            entry(section::SERIES, &set.series),
            entry(section::TAGS, &set.tags),
            entry(section::SHAPES, &set.shapes),
            entry(section::FIELDS, &set.fields),
            entry(section::ROWS, &set.rows),
            entry(section::VALUES, &set.values),
            entry(section::SELECTION, &set.selection),
        ];
        for own in own {
            let inherited = shared.iter().find(|entry| entry.id == own.id);
            match inherited {
                Some(inherited) if own.len == 0 => put(*inherited),
                _ if own.len != 0 => put(own),
                _ => {}
            }
        }
        let carried = set.carried.iter().map(|(id, flags, element_size, data, len)| RawSection {
            id: *id,
            flags: *flags,
            element_size: *element_size,
            reserved: 0,
            data: data.as_ptr().cast(),
            len: *len,
        });
        let unknown = shared.iter().filter(|entry| !(1..=section::SELECTION).contains(&entry.id));
        let extra: Vec<RawSection> = carried.chain(unknown.copied()).collect();
        if !extra.is_empty() {
            made.extra = made.inline[..count].iter().copied().chain(extra).collect();
        }
        if made.extra.is_empty() {
            made.head.sections = made.inline.as_ptr();
            made.head.section_count = count as u32;
        } else {
            made.head.sections = made.extra.as_ptr();
            made.head.section_count = made.extra.len() as u32;
        }
        let set = &made.set;
        let known = Known {
            arena: known(&set.arena, shared_table(&set.shared, Tables::arena)),
            symbols: known(&set.symbols, shared_table(&set.shared, Tables::symbols)),
            series: known(&set.series, shared_table(&set.shared, Tables::series)),
            tags: known(&set.tags, shared_table(&set.shared, Tables::tags)),
            shapes: known(&set.shapes, shared_table(&set.shared, Tables::shapes)),
            fields: known(&set.fields, shared_table(&set.shared, Tables::fields)),
            rows: known(&set.rows, shared_table(&set.shared, Tables::rows)),
            values: known(&set.values, shared_table(&set.shared, Tables::values)),
            selection: known(&set.selection, shared_table(&set.shared, Tables::selection)),
        };
        let raw = NonNull::from(Box::leak(made)).cast::<RawTables>();
        Tables { raw, known }
    }
}

fn entry<T: Plain>(id: u32, buffer: &Buffer<T>) -> RawSection {
    RawSection {
        id,
        flags: section::MUST_UNDERSTAND,
        element_size: size_of::<T>() as u32,
        reserved: 0,
        data: buffer.as_ptr().cast(),
        len: buffer.len() as u64,
    }
}

fn shared_table<T: Plain>(
    shared: &Option<Tables>,
    table: fn(&Tables) -> &[T],
) -> (*const T, usize) {
    match shared {
        Some(shared) => (table(shared).as_ptr(), table(shared).len()),
        None => (NonNull::dangling().as_ptr(), 0),
    }
}

fn known<T: Plain>(own: &Buffer<T>, shared: (*const T, usize)) -> (*const T, usize) {
    if own.is_empty() { shared } else { (own.as_ptr(), own.len()) }
}

unsafe extern "C" fn made_retain(raw: *const RawTables) {
    // SAFETY: only sets made here carry this function; the head is the first field of `Made`.
    let made = unsafe { &*raw.cast::<Made>() };
    made.owners.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn made_release(raw: *const RawTables) {
    // SAFETY: as above; the last owner alone takes the box back.
    unsafe {
        let made = &*raw.cast::<Made>();
        if made.owners.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            drop(Box::from_raw(raw.cast::<Made>().cast_mut()));
        }
    }
}

impl Tables {
    /// The buffers behind a set, if this library made it, `self` is its only owner and it shares
    /// nothing: what may then be changed in place.
    pub fn thaw(self) -> Result<TableSet, Tables> {
        // SAFETY: the release function tells that the head is the first field of a `Made` of this
        // library; a count of one means that nobody else can reach it.
        unsafe {
            let head = self.raw.as_ref();
            if head.release as usize != made_release as *const () as usize {
                return Err(self);
            }
            let made = self.raw.cast::<Made>();
            if made.as_ref().owners.load(Ordering::Acquire) != 1
                || made.as_ref().set.shared.is_some()
            {
                return Err(self);
            }
            let _ = ManuallyDrop::new(self);
            Ok(Box::from_raw(made.as_ptr()).set)
        }
    }

    /// The bytes that the tables fill, those of the head and directory not counted.
    pub fn byte_size(&self) -> usize {
        self.sections().iter().map(|s| s.len as usize * s.element_size as usize).sum()
    }
}

/// Copies the bytes of a section into a buffer of 8-byte alignment.
pub fn carry(bytes: &[u8]) -> Buffer<u64> {
    let mut buffer = Buffer::new();
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        buffer.push(u64::from_le_bytes(word));
    }
    buffer
}

/// Reads plain elements from bytes.
pub fn read_elements<T: Plain>(bytes: &[u8]) -> Buffer<T> {
    let count = bytes.len() / size_of::<T>();
    let mut buffer = Buffer::<T>::new();
    buffer.resize(count);
    // SAFETY: the buffer holds `count` elements; any bytes make a plain element.
    unsafe {
        std::ptr::copy_nonoverlapping(
            bytes.as_ptr(),
            buffer.as_mut_ptr().cast::<u8>(),
            count * size_of::<T>(),
        );
    }
    buffer
}

/// The bytes of a table.
pub fn table_bytes<T: Plain>(table: &[T]) -> &[u8] {
    as_bytes(table)
}
