//! Devices, addresses and routes of one network namespace, over rtnetlink.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use rustix::io::Errno;

use super::netlink::{
    Answer, Attributes, CREATE, DUMP, EXCLUSIVE, Message, Socket, native_u16, native_u32,
};

/// Longest name of a device (`IFNAMSIZ` without its final zero byte).
pub(crate) const NAME_LIMIT: usize = 15;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
/// Hairpin mode.
const IFLA_BRPORT_MODE: u16 = 4;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// Usable at once: addresses that we give out belong to nobody else.
const IFA_F_NODAD: u32 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

/// Length of `struct ifinfomsg`.
const LINK_FIELDS: usize = 16;
/// Length of `struct rtmsg`.
const ROUTE_FIELDS: usize = 12;
const AF_UNSPEC: u8 = 0;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
/// `RT_TABLE_MAIN`
const MAIN_TABLE: u8 = 254;
/// `RTPROT_STATIC`
const STATIC: u8 = 4;
/// `RTN_UNICAST`
const UNICAST: u8 = 1;

/// A device as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What somebody wrote on it.
    pub alias: Option<String>,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// Whether it is up.
    pub up: bool,
}

/// A route of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Where it leads.
    pub destination: IpNet,
    /// Through which device.
    pub device: u32,
}

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// One end of a new pair of devices, in the container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inside<'a> {
    /// The container's network namespace.
    pub namespace: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: Mac,
}

impl Socket {
    /// The device of this name, if there is one.
    pub(crate) fn device(&mut self, name: &str) -> Result<Option<Device>, Errno> {
        let mut message = link(RTM_GETLINK, 0, 0, 0);
        message.put_text(IFLA_IFNAME, name);
        match self.ask(message) {
            Ok(answers) => Ok(answers.iter().find_map(device)),
            Err(Errno::NODEV) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// All devices.
    pub(crate) fn devices(&mut self) -> Result<Vec<Device>, Errno> {
        let answers = self.ask(link(RTM_GETLINK, DUMP, 0, 0))?;
        Ok(answers.iter().filter_map(device).collect())
    }

    /// Makes a bridge that is up, with a note of whose it is.
    pub(crate) fn add_bridge(&mut self, name: &str, alias: &str) -> Result<(), Errno> {
        let mut message = link(RTM_NEWLINK, CREATE | EXCLUSIVE, 0, IFF_UP);
        message.put_text(IFLA_IFNAME, name);
        message.nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_KIND, "bridge");
        });
        self.request(message)?;
        // A device can't be made with a note.
        let mut note = link(RTM_NEWLINK, 0, 0, 0);
        note.put_text(IFLA_IFNAME, name);
        note.put_text(IFLA_IFALIAS, alias);
        self.request(note)
    }

    /// Makes a pair of devices: a port of the bridge with number `bridge`, up, and its peer in a container.
    pub(crate) fn add_pair(
        &mut self,
        name: &str,
        bridge: u32,
        inside: Inside<'_>,
    ) -> Result<(), Errno> {
        let mut message = link(RTM_NEWLINK, CREATE | EXCLUSIVE, 0, IFF_UP);
        message.put_text(IFLA_IFNAME, name);
        message.put_native(IFLA_MASTER, bridge);
        message.nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_KIND, "veth");
            info.nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| {
                    // Not up: the kernel has not joined the two yet.
                    peer.put_fields(&link_fields(0, 0));
                    peer.put_text(IFLA_IFNAME, inside.name);
                    peer.put(IFLA_ADDRESS, &inside.mac);
                    let namespace = inside.namespace.as_raw_fd().cast_unsigned();
                    peer.put_native(IFLA_NET_NS_FD, namespace);
                });
            });
        });
        self.request(message)?;
        // A container may reach itself by a published port. Where bridges hand their packets to the packet filter, what the filter
        // sends back to the port that it came from is dropped without this.
        let mut mode = link(RTM_NEWLINK, 0, 0, 0);
        mode.put_text(IFLA_IFNAME, name);
        mode.nest(IFLA_LINKINFO, |info| {
            info.put_text(IFLA_INFO_SLAVE_KIND, "bridge");
            info.nest(IFLA_INFO_SLAVE_DATA, |data| {
                data.put(IFLA_BRPORT_MODE, &[1])
            });
        });
        self.request(mode)
    }

    /// Sets a device up.
    pub(crate) fn set_up(&mut self, index: u32) -> Result<(), Errno> {
        self.request(link(RTM_NEWLINK, 0, index, IFF_UP))
    }

    /// Removes a device. Waits for the kernel to forget all that refers to it, some 20 to 40 ms.
    pub(crate) fn remove_device(&mut self, index: u32) -> Result<(), Errno> {
        self.request(link(RTM_DELLINK, 0, index, 0))
    }

    /// Gives a device an address in its network. One that it has already is fine.
    pub(crate) fn add_address(
        &mut self,
        index: u32,
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), Errno> {
        let (family, bytes) = octets(address);
        let [a, b, c, d] = index.to_ne_bytes();
        let mut message = Message::new(RTM_NEWADDR, CREATE | EXCLUSIVE)
            .fields(&[family, prefix, 0, 0, a, b, c, d]);
        message.put(IFA_LOCAL, &bytes);
        message.put(IFA_ADDRESS, &bytes);
        if family == AF_INET6 {
            message.put_native(IFA_FLAGS, IFA_F_NODAD);
        }
        match self.request(message) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    /// Sends everything that has no other way to `gateway`.
    pub(crate) fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> Result<(), Errno> {
        let (family, bytes) = octets(gateway);
        let mut message = Message::new(RTM_NEWROUTE, CREATE | EXCLUSIVE)
            .fields(&[family, 0, 0, 0, MAIN_TABLE, STATIC, 0, UNICAST, 0, 0, 0, 0]);
        message.put(RTA_GATEWAY, &bytes);
        message.put_native(RTA_OIF, index);
        match self.request(message) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    /// Where packets are sent by this namespace, but for those that have no other way.
    pub(crate) fn routes(&mut self) -> Result<Vec<Route>, Errno> {
        let mut routes = Vec::new();
        for family in [AF_INET, AF_INET6] {
            let mut fields = [0; ROUTE_FIELDS];
            fields[0] = family;
            let answers = self.ask(Message::new(RTM_GETROUTE, DUMP).fields(&fields));
            match answers {
                Ok(answers) => routes.extend(answers.iter().filter_map(route)),
                // A kernel without IPv6.
                Err(Errno::OPNOTSUPP | Errno::AFNOSUPPORT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(routes)
    }

    /// Whether there is a way for what has no other.
    pub(crate) fn has_default_route(&mut self) -> Result<bool, Errno> {
        for family in [AF_INET, AF_INET6] {
            let mut fields = [0; ROUTE_FIELDS];
            fields[0] = family;
            let answers = match self.ask(Message::new(RTM_GETROUTE, DUMP).fields(&fields)) {
                // A kernel without IPv6.
                Err(Errno::OPNOTSUPP | Errno::AFNOSUPPORT) => continue,
                answers => answers?,
            };
            let leads = |answer: &Answer| {
                let fields = answer.payload.get(..ROUTE_FIELDS);
                let is_default = |fields: &[u8]| fields[1] == 0 && fields[4] == MAIN_TABLE;
                answer.kind == RTM_NEWROUTE && fields.is_some_and(is_default)
            };
            if answers.iter().any(leads) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn link(kind: u16, flags: u16, index: u32, up: u32) -> Message {
    Message::new(kind, flags).fields(&link_fields(index, up))
}

/// `struct ifinfomsg`: the flags in `up` are set, all others stay.
fn link_fields(index: u32, up: u32) -> [u8; LINK_FIELDS] {
    let mut fields = [0; LINK_FIELDS];
    fields[0] = AF_UNSPEC;
    fields[4..8].copy_from_slice(&index.to_ne_bytes());
    fields[8..12].copy_from_slice(&up.to_ne_bytes());
    fields[12..16].copy_from_slice(&up.to_ne_bytes());
    fields
}

fn device(answer: &Answer) -> Option<Device> {
    let fields = answer.payload.get(..LINK_FIELDS)?;
    let attributes = Attributes(&answer.payload[LINK_FIELDS..]);
    (answer.kind == RTM_NEWLINK).then_some(Device {
        index: native_u32(&fields[4..]),
        name: attributes.text(IFLA_IFNAME)?,
        alias: attributes.text(IFLA_IFALIAS),
        master: attributes.find(IFLA_MASTER).map(native_u32),
        up: native_u32(&fields[8..]) & IFF_UP != 0,
    })
}

fn route(answer: &Answer) -> Option<Route> {
    let fields = answer.payload.get(..ROUTE_FIELDS)?;
    let (family, length) = (fields[0], fields[1]);
    let attributes = Attributes(&answer.payload[ROUTE_FIELDS..]);
    let unicast = native_u16(&[fields[7], 0]) == u16::from(UNICAST);
    if answer.kind != RTM_NEWROUTE || !unicast || fields[4] != MAIN_TABLE || length == 0 {
        return None;
    }
    let destination = attributes.find(RTA_DST)?;
    let address = match family {
        AF_INET => IpAddr::from(*destination.first_chunk::<4>()?),
        AF_INET6 => IpAddr::from(*destination.first_chunk::<16>()?),
        _ => return None,
    };
    Some(Route {
        destination: IpNet::new(address, length).ok()?,
        device: attributes.find(RTA_OIF).map_or(0, native_u32),
    })
}

/// Family and bytes of an address.
pub(crate) fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    }
}
