//! Who is logged in, from utmp.

use headwater_plugin_api::plugin::Error;

use crate::reader::Reader;
use crate::roots::Roots;

/// Bytes of a record: glibc keeps 32-bit times in it on most machines, so that programs of both
/// widths can share the file.
const RECORD_BYTES: usize =
    if cfg!(any(target_arch = "aarch64", target_arch = "s390x")) { 400 } else { 384 };
const USER: std::ops::Range<usize> = 44..76;
/// `ut_type` of a user's process.
const USER_PROCESS: i16 = 7;

/// Counts users, in memory that is kept.
#[derive(Default)]
pub struct Users {
    names: Vec<[u8; 32]>,
}

impl Users {
    /// Sessions and distinct names; `None` without a utmp file, or if we may not read it.
    ///
    /// # Errors
    /// The file cannot be read for another reason.
    pub fn count(
        &mut self,
        reader: &mut Reader,
        roots: &Roots,
    ) -> Result<Option<(usize, usize)>, Error> {
        let Some(text) = reader.piece_if_readable(&[&roots.var, "run/utmp"]) else {
            return Ok(None);
        };
        self.names.clear();
        for record in text.data.chunks_exact(RECORD_BYTES) {
            if i16::from_ne_bytes([record[0], record[1]]) == USER_PROCESS {
                let mut name = [0; 32];
                let field = &record[USER];
                let len = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
                name[..len].copy_from_slice(&field[..len]);
                self.names.push(name);
            }
        }
        let all = self.names.len();
        self.names.sort_unstable();
        self.names.dedup();
        Ok(Some((all, self.names.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::Tree;

    fn record(kind: i16, user: &str) -> Vec<u8> {
        let mut record = vec![0; RECORD_BYTES];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record
    }

    #[test]
    fn sessions_of_users_are_counted() {
        let tree = Tree::of(&[]);
        let count =
            |tree: &Tree| Users::default().count(&mut Reader::default(), &tree.roots).unwrap();
        assert_eq!(count(&tree), None);
        let long = "u".repeat(32);
        let mut utmp: Vec<u8> =
            [(2, "reboot"), (7, "root"), (7, "me"), (8, "you"), (7, "root"), (7, &long)]
                .iter()
                .flat_map(|(kind, user)| record(*kind, user))
                .collect();
        utmp.extend([7, 0, 0]);
        tree.write("var/run/utmp", &utmp);
        assert_eq!(count(&tree), Some((4, 3)));
        tree.write("var/run/utmp", "");
        assert_eq!(count(&tree), Some((0, 0)));
    }
}
