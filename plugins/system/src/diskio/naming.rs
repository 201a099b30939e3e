//! Properties of devices and the names that are made of them.

use crate::reader::{Reader, Text};
use crate::roots::Roots;
use crate::udev;

/// What udev knows of a device, as far as it is asked for.
#[derive(Default)]
pub struct Properties {
    /// What the file was when it was read: times, size and inode.
    version: Option<[i128; 4]>,
    /// That there is no file was told.
    told: bool,
    values: Vec<(String, String)>,
    links: Vec<String>,
}

impl Properties {
    /// Reads the file if it is another than last time. `links` stand for the property `DEVLINKS`.
    ///
    /// # Errors
    /// There is no file: once, until there was one.
    pub fn refresh(
        &mut self,
        reader: &mut Reader,
        roots: &Roots,
        file: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let path = format!("{}/{file}", roots.run);
        let found = rustix::fs::stat(path.as_str()).map_err(std::io::Error::from);
        let version = found.as_ref().ok().map(|file| {
            // Their widths differ from machine to machine.
            [
                i128::from(file.st_mtime),
                i128::from(file.st_mtime_nsec),
                i128::from(file.st_size),
                i128::from(file.st_ino),
            ]
        });
        if let Err(error) = found {
            self.version = None;
            self.values.clear();
            self.links.clear();
            return match std::mem::replace(&mut self.told, true) {
                true => Ok(()),
                false => Err(format!("nothing is known to udev: {path}: {error}")),
            };
        }
        if self.version != version
            && let Some(text) = reader.piece_if_readable(&[&roots.run, file])
        {
            self.version = version;
            self.told = false;
            self.read(&text, wanted);
        }
        Ok(())
    }

    fn read(&mut self, text: &Text<'_>, wanted: impl Fn(&str) -> bool) {
        self.values.clear();
        self.links.clear();
        for link in udev::links(text) {
            self.links.push(String::from_utf8_lossy(link).into_owned());
        }
        for line in text.lines() {
            let entry = line.strip_prefix(b"E:").map(String::from_utf8_lossy);
            if let Some((key, value)) = entry.as_ref().and_then(|entry| entry.split_once('='))
                && wanted(key)
            {
                self.values.push((key.to_owned(), value.to_owned()));
            }
        }
        if wanted("DEVLINKS") && !self.links.is_empty() {
            let links: Vec<String> = self.links.iter().map(|link| format!("/dev/{link}")).collect();
            self.values.push(("DEVLINKS".into(), links.join(" ")));
        }
    }

    /// The last value of a property.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Links to the device, without `/dev/`.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.links.iter().map(String::as_str)
    }
}

/// A name with properties in it: `$KEY` or `${KEY}`.
pub struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Property(String),
}

impl Template {
    /// Takes a template apart. A dollar without a name behind it stands for itself.
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            let (before, behind) = (&rest[..dollar], &rest[dollar + 1..]);
            plain.push_str(before);
            match name(behind) {
                Some((name, after)) => {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Property(name.to_owned()));
                    rest = after;
                }
                None => {
                    plain.push('$');
                    rest = behind;
                }
            }
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        Template { parts }
    }

    /// Whether the property stands in it.
    pub fn uses(&self, key: &str) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Property(property) if property == key))
    }

    /// The name, if the device has all the properties.
    pub fn fill(&self, properties: &Properties) -> Option<String> {
        let mut name = String::new();
        for part in &self.parts {
            name.push_str(match part {
                Part::Text(text) => text,
                Part::Property(key) => properties.get(key)?,
            });
        }
        Some(name)
    }
}

/// `KEY` or `{KEY}` at the beginning, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let start = braced.unwrap_or(text);
    let end = start.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(start.len());
    let (name, rest) = start.split_at(end);
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let properties = Properties {
            values: vec![
                ("A".into(), "old".into()),
                ("A".into(), "a".into()),
                ("B_1".into(), "b".into()),
            ],
            ..Properties::default()
        };
        for (template, expected) in [
            ("$A", Some("a")),
            ("x-$A/${B_1}y", Some("x-a/by")),
            ("$A$B_1", Some("ab")),
            ("$NONE", None),
            ("$A$NONE", None),
            ("plain", Some("plain")),
            ("$", Some("$")),
            ("${A", Some("${A")),
            ("${}", Some("${}")),
            ("$$A", Some("$a")),
            ("", Some("")),
        ] {
            assert_eq!(
                Template::new(template).fill(&properties).as_deref(),
                expected,
                "{template}"
            );
        }
        assert!(Template::new("$A").uses("A") && !Template::new("$AB").uses("A"));
    }
}
