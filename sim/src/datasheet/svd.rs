//! The datasheet as CMSIS-SVD 1.3, for register viewers and generators of access code.
//!
//! One peripheral is BAR 0 with its base at zero; the registers of a ring pair, and its two
//! doorbells, are clusters that repeat.

use std::fmt::{self, Write as _};

use regs::{Access, FieldInfo, RegisterInfo};

use super::{PAGES, Page, plain, snake};

/// The whole description.
#[must_use]
pub fn render() -> String {
    let mut writer = Writer::default();
    // A string takes every line.
    let _ = writer.device();
    writer.text
}

/// Text that grows, indented by the elements that are open.
#[derive(Default)]
struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn line(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        writeln!(self.text, "{:1$}{line}", "", self.depth * 2)
    }

    /// An element with text in it.
    fn leaf(&mut self, name: &str, value: impl fmt::Display) -> fmt::Result {
        let value = escaped(&value.to_string());
        self.line(format_args!("<{name}>{value}</{name}>"))
    }

    /// An element with elements in it.
    fn element(&mut self, name: &str, body: impl FnOnce(&mut Self) -> fmt::Result) -> fmt::Result {
        self.line(format_args!("<{name}>"))?;
        self.depth += 1;
        body(self)?;
        self.depth -= 1;
        // Attributes stay in the opening tag.
        let name = name.split(' ').next().unwrap_or(name);
        self.line(format_args!("</{name}>"))
    }

    fn device(&mut self) -> fmt::Result {
        self.line(format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"))?;
        self.element("device schemaVersion=\"1.3\"", |device| {
            device.leaf("name", "ringside")?;
            device.leaf("version", env!("CARGO_PKG_VERSION"))?;
            device.leaf("description", "Descriptor-ring crypto card on PCI Express")?;
            device.leaf("addressUnitBits", 8)?;
            device.leaf("width", 32)?;
            device.element("peripherals", |list| list.element("peripheral", Self::bar))
        })
    }

    fn bar(&mut self) -> fmt::Result {
        self.leaf("name", "bar0")?;
        self.leaf(
            "description",
            "BAR 0 of the function; the base is its bus address",
        )?;
        self.leaf("baseAddress", "0x0")?;
        self.leaf("size", 32)?;
        self.element("addressBlock", |block| {
            block.leaf("offset", "0x0")?;
            block.leaf("size", format_args!("{:#x}", regs::BAR0_LEN))?;
            block.leaf("usage", "registers")
        })?;
        self.element("registers", |list| {
            for page in PAGES {
                list.page(&page)?;
            }
            list.doorbells()
        })
    }

    fn page(&mut self, page: &Page) -> fmt::Result {
        if page.count == 1 {
            return page.registers.iter().try_for_each(|row| self.register(row));
        }
        let name = snake(page.name);
        let place = (page.offset, page.count, page.stride);
        self.cluster(&name, page.description, place, |cluster| {
            page.registers
                .iter()
                .try_for_each(|row| cluster.register(row))
        })
    }

    fn cluster(
        &mut self,
        name: &str,
        description: &str,
        (offset, count, stride): (u32, u32, u32),
        registers: impl FnOnce(&mut Self) -> fmt::Result,
    ) -> fmt::Result {
        self.element("cluster", |cluster| {
            cluster.leaf("dim", count)?;
            cluster.leaf("dimIncrement", format_args!("{stride:#x}"))?;
            cluster.leaf("name", format_args!("{name}[%s]"))?;
            cluster.leaf("description", plain(description))?;
            cluster.leaf("addressOffset", format_args!("{offset:#x}"))?;
            registers(cluster)
        })
    }

    fn doorbells(&mut self) -> fmt::Result {
        let place = (
            regs::DOORBELL_PAGE,
            regs::MAX_RING_PAIRS + 1,
            regs::DOORBELL_STRIDE,
        );
        let doorbell = |offset, name, description| RegisterInfo {
            offset,
            name,
            access: Access::Doorbell,
            reset: 0,
            description,
            fields: &[],
        };
        let pair = [
            doorbell(0, "Command", "First slot not yet published"),
            doorbell(
                regs::COMPLETION_DOORBELL,
                "Completion",
                "First slot not yet reaped; bit 31 arms the interrupt",
            ),
        ];
        self.cluster("doorbell", "Doorbells of one ring pair", place, |cluster| {
            pair.iter().try_for_each(|row| cluster.register(row))
        })
    }

    fn register(&mut self, row: &RegisterInfo) -> fmt::Result {
        self.element("register", |register| {
            register.leaf("name", snake(row.name))?;
            register.leaf("description", plain(row.description))?;
            register.leaf("addressOffset", format_args!("{:#x}", row.offset))?;
            register.leaf("size", 32)?;
            register.leaf(
                "access",
                match row.access {
                    Access::ReadOnly => "read-only",
                    Access::ReadWrite | Access::WriteOneToClear => "read-write",
                    Access::Doorbell => "write-only",
                },
            )?;
            register.leaf("resetValue", format_args!("{:#x}", row.reset))?;
            if row.access == Access::WriteOneToClear {
                register.leaf("modifiedWriteValues", "oneToClear")?;
            }
            register.fields(row.fields)
        })
    }

    fn fields(&mut self, fields: &[FieldInfo]) -> fmt::Result {
        let mut shown = fields
            .iter()
            .filter(|field| !field.is_reserved())
            .peekable();
        if shown.peek().is_none() {
            return Ok(());
        }
        self.element("fields", |list| {
            for field in shown {
                list.element("field", |element| {
                    element.leaf("name", field.name)?;
                    element.leaf("description", plain(field.description))?;
                    element.leaf("bitOffset", field.low)?;
                    element.leaf("bitWidth", field.width)
                })?;
            }
            Ok(())
        })
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use svd_parser::svd::MaybeArray;

    use super::*;

    #[test]
    fn a_reader_of_svd_finds_every_register_where_it_is() {
        let device = svd_parser::parse(&render()).expect("valid SVD");
        let bar = &device.peripherals[0];
        let registers: Vec<_> = bar.registers().collect();
        let control = PAGES[0].registers;
        assert_eq!(registers.len(), control.len());
        for (found, row) in registers.iter().zip(control) {
            assert_eq!(found.name, snake(row.name));
            assert_eq!(found.address_offset, row.offset);
            assert_eq!(found.properties.reset_value, Some(u64::from(row.reset)));
            let shown = row.fields.iter().filter(|field| !field.is_reserved());
            for (found, field) in found.fields().zip(shown) {
                assert_eq!(
                    (found.name.as_str(), found.bit_offset()),
                    (field.name, field.low)
                );
            }
        }
    }

    #[test]
    fn clusters_repeat_for_every_ring() {
        let device = svd_parser::parse(&render()).expect("valid SVD");
        let clusters: Vec<_> = device.peripherals[0].clusters().collect();
        assert_eq!(clusters.len(), 2);
        for cluster in clusters {
            let MaybeArray::Array(info, dim) = cluster else {
                panic!("{} does not repeat", cluster.name);
            };
            assert_eq!(dim.dim, regs::MAX_RING_PAIRS + 1);
            let is_ring = info.address_offset == regs::RING_PAGE;
            let stride = if is_ring {
                regs::RING_STRIDE
            } else {
                regs::DOORBELL_STRIDE
            };
            assert_eq!(dim.dim_increment, stride);
        }
    }

    #[test]
    fn text_that_would_break_xml_does_not() {
        assert_eq!(escaped("a < b && c > d"), "a &lt; b &amp;&amp; c &gt; d");
    }
}
