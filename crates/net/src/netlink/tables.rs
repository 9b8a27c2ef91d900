//! The rules of packet filters: chains of nf_tables that see what this host sends, in a table of Claviger's own.
//!
//! What one call changes it changes at once or not at all: the kernel takes a batch as one transaction, and a packet
//! meets the rules from before or those from after it. The registers, operators and attributes are those of
//! `linux/netfilter/nf_tables.h`.

use std::io;

use nix::sys::socket::SockProtocol;

use super::{
    Request,
    attribute::{Attribute, attribute, attribute_text, iterate},
    cut_short,
};

/// The table.
const TABLE: &str = "claviger";
/// Octets of `struct nfgenmsg`: family, version, subsystem.
const HEADER: usize = 4;
/// After connection tracking and translation of addresses, where most filters stand (`NF_IP_PRI_FILTER`).
const PRIORITY: u32 = 0;
/// The longest comment, in octets (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_LEN_MAX: usize = 127;

const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const CHAIN_USERDATA: u16 = 12;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const META_REGISTER: u16 = 1;
const META_KEY: u16 = 2;
const PAYLOAD_REGISTER: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const COMPARE_REGISTER: u16 = 1;
const COMPARE_OPERATOR: u16 = 2;
const COMPARE_DATA: u16 = 3;
const IMMEDIATE_REGISTER: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
/// The kind of user data that is a comment (`NFTNL_UDATA_CHAIN_COMMENT`).
const USERDATA_COMMENT: u8 = 0;

/// One step of a rule: a value is loaded, compared, or the packet's fate decided. A comparison that fails ends the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression(Attribute);

/// What is known of a packet beside its octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The protocol behind the IP headers.
    L4Protocol,
    /// The IP version (`NFPROTO_IPV4`, `NFPROTO_IPV6`).
    NetworkProtocol,
    /// The group of the interface that it leaves by.
    OutputGroup,
    /// The priority that its socket has.
    Priority,
}

/// Where octets of a packet are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// The IP header.
    Network,
    /// What stands behind the IP headers.
    Transport,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    AtLeast,
    AtMost,
    Equal,
    NotEqual,
}

impl Comparison {
    fn operator(self) -> libc::c_int {
        match self {
            Self::AtLeast => libc::NFT_CMP_GTE,
            Self::AtMost => libc::NFT_CMP_LTE,
            Self::Equal => libc::NFT_CMP_EQ,
            Self::NotEqual => libc::NFT_CMP_NEQ,
        }
    }
}

impl Expression {
    /// Loads what is known of the packet.
    pub(crate) fn meta(meta: Meta) -> Self {
        let key = match meta {
            Meta::L4Protocol => libc::NFT_META_L4PROTO,
            Meta::NetworkProtocol => libc::NFT_META_NFPROTO,
            Meta::OutputGroup => libc::NFT_META_OIFGROUP,
            Meta::Priority => libc::NFT_META_PRIORITY,
        };
        Self::new("meta", vec![number(META_REGISTER, libc::NFT_REG_1), number(META_KEY, key)])
    }

    /// Loads octets of the packet.
    pub(crate) fn payload(base: Base, offset: u32, length: u32) -> Self {
        let base = match base {
            Base::Network => libc::NFT_PAYLOAD_NETWORK_HEADER,
            Base::Transport => libc::NFT_PAYLOAD_TRANSPORT_HEADER,
        };
        Self::new(
            "payload",
            vec![
                number(PAYLOAD_REGISTER, libc::NFT_REG_1),
                number(PAYLOAD_BASE, base),
                Attribute::number(PAYLOAD_OFFSET, offset),
                Attribute::number(PAYLOAD_LENGTH, length),
            ],
        )
    }

    /// Compares what was loaded last.
    pub(crate) fn compare(comparison: Comparison, value: &[u8]) -> Self {
        Self::new(
            "cmp",
            vec![
                number(COMPARE_REGISTER, libc::NFT_REG_1),
                number(COMPARE_OPERATOR, comparison.operator()),
                Attribute::Nest(COMPARE_DATA, vec![Attribute::Value(DATA_VALUE, value.into())]),
            ],
        )
    }

    /// Counts the packet.
    pub(crate) fn count() -> Self {
        Self::new("counter", vec![])
    }

    /// Lets the packet pass this chain.
    pub(crate) fn accept() -> Self {
        Self::verdict(libc::NF_ACCEPT)
    }

    /// Drops the packet: who sends it is told that it is not permitted.
    pub(crate) fn drop() -> Self {
        Self::verdict(libc::NF_DROP)
    }

    fn verdict(code: libc::c_int) -> Self {
        let verdict = Attribute::Nest(DATA_VERDICT, vec![number(VERDICT_CODE, code)]);
        let data = Attribute::Nest(IMMEDIATE_DATA, vec![verdict]);
        Self::new("immediate", vec![number(IMMEDIATE_REGISTER, libc::NFT_REG_VERDICT), data])
    }

    fn new(name: &str, data: Vec<Attribute>) -> Self {
        let name = Attribute::text(EXPRESSION_NAME, name);
        Self(Attribute::Nest(LIST_ELEMENT, vec![name, Attribute::Nest(EXPRESSION_DATA, data)]))
    }
}

/// A chain of rules that see every packet which this host sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its name: a letter, then letters, digits, `.`, `-` and `_`.
    pub(crate) name: String,
    /// What `nft list ruleset` shows of it. Kernels before 5.10 keep none.
    pub(crate) comment: String,
    /// The rules, in order.
    pub(crate) rules: Vec<Vec<Expression>>,
}

/// A chain as it stands in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StandingChain {
    pub(crate) name: String,
    pub(crate) comment: String,
    /// Each rule's expressions.
    rules: Vec<Vec<u8>>,
    /// Whether it sees what this host sends.
    is_hooked: bool,
}

impl StandingChain {
    /// Says whether the chain is what it is meant to be.
    pub(crate) fn is(&self, chain: &Chain) -> bool {
        self.is_hooked
            && self.name == chain.name
            && self.rules.len() == chain.rules.len()
            && self.rules.iter().zip(&chain.rules).all(|(standing, rule)| {
                let rule: Vec<_> = rule.iter().map(|expression| expression.0.clone()).collect();
                Attribute::are_in(&rule, standing)
            })
    }

    /// Finds the values of a length that packets are compared with for being different.
    pub(crate) fn compared_for_difference(&self, length: usize) -> Option<Vec<u8>> {
        let operator = Attribute::number(COMPARE_OPERATOR, libc::NFT_CMP_NEQ.cast_unsigned());
        let Attribute::Value(_, operator) = operator else { return None };
        self.data_of("cmp").find_map(|data| {
            let value = attribute(attribute(data, COMPARE_DATA)?, DATA_VALUE)?;
            let is_different = attribute(data, COMPARE_OPERATOR)? == operator;
            (is_different && value.len() == length).then(|| value.to_vec())
        })
    }

    /// Says how many packets were counted.
    pub(crate) fn counted(&self) -> u64 {
        let packets = |data| attribute(data, COUNTER_PACKETS)?.first_chunk().copied().map(u64::from_be_bytes);
        self.data_of("counter").filter_map(packets).sum()
    }

    /// Goes through the data of all expressions of a name.
    fn data_of(&self, wanted: &str) -> impl Iterator<Item = &[u8]> {
        let expressions = self.rules.iter().flat_map(|rule| iterate(rule)).map(|(_, expression)| expression);
        expressions.filter_map(move |expression| {
            (attribute_text(expression, EXPRESSION_NAME)? == wanted)
                .then(|| attribute(expression, EXPRESSION_DATA))?
        })
    }
}

/// Asks whether this kernel has nf_tables and this process may use it.
///
/// # Errors
/// `EPERM` without root or CAP_NET_ADMIN; what the kernel says that has none.
pub(crate) fn available() -> io::Result<()> {
    let request = Request { kind: kind(libc::NFT_MSG_GETGEN), flags: 0, body: body(0, &[]) };
    super::ask(SockProtocol::NetlinkNetFilter, &request).map(|_| ())
}

/// Makes a chain, with its table if there is none, or gives the one that stands these rules.
///
/// # Errors
/// What the kernel says; nothing is changed then.
pub(crate) fn put(chain: &Chain) -> io::Result<()> {
    let create = libc::NLM_F_CREATE;
    let mut requests = vec![
        request(
            libc::NFT_MSG_NEWTABLE,
            create,
            &[Attribute::text(TABLE_NAME, TABLE), Attribute::number(TABLE_FLAGS, 0)],
        ),
        request(libc::NFT_MSG_NEWCHAIN, create, &chain_attributes(chain)),
        request(libc::NFT_MSG_DELRULE, 0, &rule_attributes(&chain.name)),
    ];
    for rule in &chain.rules {
        let mut attributes = rule_attributes(&chain.name);
        let expressions = rule.iter().map(|expression| expression.0.clone()).collect();
        attributes.push(Attribute::Nest(RULE_EXPRESSIONS, expressions));
        requests.push(request(libc::NFT_MSG_NEWRULE, create | libc::NLM_F_APPEND, &attributes));
    }
    transact(requests)
}

/// Removes a chain, and its table if no other chain is in it. Says whether there was one.
///
/// # Errors
/// What the kernel says; nothing is changed then.
pub(crate) fn remove(name: &str) -> io::Result<bool> {
    let chain = [Attribute::text(CHAIN_TABLE, TABLE), Attribute::text(CHAIN_NAME, name)];
    let removed = transact(vec![
        request(libc::NFT_MSG_DELRULE, 0, &rule_attributes(name)),
        request(libc::NFT_MSG_DELCHAIN, 0, &chain),
    ]);
    let was_there = match removed {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    // The kernel refuses while anything is in the table, such as the chain that another process has just made.
    let table = [Attribute::text(TABLE_NAME, TABLE)];
    match transact(vec![request(libc::NFT_MSG_DELTABLE, libc::NLM_F_NONREC, &table)]) {
        Ok(()) => Ok(was_there),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ResourceBusy) => {
            Ok(was_there)
        }
        Err(error) => Err(error),
    }
}

/// Finds a chain of the table by its name.
///
/// # Errors
/// As [`available`].
pub(crate) fn chain(name: &str) -> io::Result<Option<StandingChain>> {
    let wanted = [Attribute::text(CHAIN_TABLE, TABLE), Attribute::text(CHAIN_NAME, name)];
    let request = Request { kind: kind(libc::NFT_MSG_GETCHAIN), flags: 0, body: body(0, &wanted) };
    let entry = match super::ask(SockProtocol::NetlinkNetFilter, &request) {
        Ok(entry) => entry,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut chains: Vec<_> = standing_chain(&entry)?.into_iter().collect();
    add_rules(&mut chains, &rule_attributes(name))?;
    Ok(chains.pop())
}

/// Lists the chains of the table.
///
/// # Errors
/// As [`available`].
pub(crate) fn chains() -> io::Result<Vec<StandingChain>> {
    let mut chains = Vec::new();
    for entry in entries(libc::NFT_MSG_GETCHAIN, &[])? {
        chains.extend(standing_chain(&entry)?);
    }
    add_rules(&mut chains, &[Attribute::text(RULE_TABLE, TABLE)])?;
    Ok(chains)
}

fn entries(message: libc::c_int, wanted: &[Attribute]) -> io::Result<Vec<Vec<u8>>> {
    let request = Request { kind: kind(message), flags: libc::NLM_F_DUMP, body: body(0, wanted) };
    super::list(SockProtocol::NetlinkNetFilter, &request)
}

/// Reads a chain, still without its rules, if it is one of the table.
fn standing_chain(entry: &[u8]) -> io::Result<Option<StandingChain>> {
    let attributes = entry.get(HEADER..).ok_or_else(cut_short)?;
    if attribute_text(attributes, CHAIN_TABLE).as_deref() != Some(TABLE) {
        return Ok(None);
    }
    let name = attribute_text(attributes, CHAIN_NAME).ok_or_else(cut_short)?;
    let comment = attribute(attributes, CHAIN_USERDATA).and_then(comment_of).unwrap_or_default();
    let is_hooked =
        attribute(attributes, CHAIN_HOOK).is_some_and(|hook| Attribute::are_in(&hook_inside(), hook));
    Ok(Some(StandingChain { name, comment, rules: vec![], is_hooked }))
}

/// Gives chains their rules, those of chains that came or went meanwhile are passed over.
fn add_rules(chains: &mut [StandingChain], wanted: &[Attribute]) -> io::Result<()> {
    for entry in entries(libc::NFT_MSG_GETRULE, wanted)? {
        let attributes = entry.get(HEADER..).ok_or_else(cut_short)?;
        let is_ours = attribute_text(attributes, RULE_TABLE).as_deref() == Some(TABLE);
        let chain = attribute_text(attributes, RULE_CHAIN).ok_or_else(cut_short)?;
        let expressions = attribute(attributes, RULE_EXPRESSIONS).unwrap_or_default();
        let standing = chains.iter_mut().find(|standing| standing.name == chain);
        if let Some(standing) = standing.filter(|_| is_ours) {
            standing.rules.push(expressions.to_vec());
        }
    }
    Ok(())
}

fn chain_attributes(chain: &Chain) -> Vec<Attribute> {
    vec![
        Attribute::text(CHAIN_TABLE, TABLE),
        Attribute::text(CHAIN_NAME, &chain.name),
        Attribute::Nest(CHAIN_HOOK, hook_inside().into()),
        number(CHAIN_POLICY, libc::NF_ACCEPT),
        Attribute::text(CHAIN_TYPE, "filter"),
        Attribute::Value(CHAIN_USERDATA, userdata(&chain.comment)),
    ]
}

fn rule_attributes(chain: &str) -> Vec<Attribute> {
    vec![Attribute::text(RULE_TABLE, TABLE), Attribute::text(RULE_CHAIN, chain)]
}

fn hook_inside() -> [Attribute; 2] {
    [number(HOOK_NUMBER, libc::NF_INET_LOCAL_OUT), Attribute::number(HOOK_PRIORITY, PRIORITY)]
}

/// Writes a comment as user data: kind, length, text and a zero.
fn userdata(comment: &str) -> Vec<u8> {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    let text: Vec<u8> = comment
        .chars()
        .take(COMMENT_LEN_MAX)
        .map(|c| if plain(c) || c == ' ' { c as u8 } else { b'?' })
        .collect();
    let length = u8::try_from(text.len() + 1).expect("a comment is short");
    [&[USERDATA_COMMENT, length][..], &text, &[0]].concat()
}

fn comment_of(userdata: &[u8]) -> Option<String> {
    let (head, text) = userdata.split_at_checked(2)?;
    let text = text.get(..usize::from(head[1]))?.strip_suffix(&[0])?;
    (head[0] == USERDATA_COMMENT).then(|| String::from_utf8_lossy(text).into_owned())
}

/// Has the kernel do all of the requests or none.
fn transact(requests: Vec<Request>) -> io::Result<()> {
    let end = |kind: libc::c_int| Request {
        kind: u16::try_from(kind).expect("kinds of messages have 16 bits"),
        flags: 0,
        body: body(u16::try_from(libc::NFNL_SUBSYS_NFTABLES).expect("a small number"), &[]),
    };
    let mut batch = vec![end(libc::NFNL_MSG_BATCH_BEGIN)];
    batch.extend(requests);
    batch.push(end(libc::NFNL_MSG_BATCH_END));
    super::ask_all(SockProtocol::NetlinkNetFilter, &batch)
}

fn request(message: libc::c_int, flags: libc::c_int, attributes: &[Attribute]) -> Request {
    Request { kind: kind(message), flags: flags | libc::NLM_F_ACK, body: body(0, attributes) }
}

fn kind(message: libc::c_int) -> u16 {
    u16::try_from(libc::NFNL_SUBSYS_NFTABLES << 8 | message).expect("kinds of messages have 16 bits")
}

/// Writes the body of a message for both IP versions.
fn body(subsystem: u16, attributes: &[Attribute]) -> Vec<u8> {
    let family = u8::try_from(libc::NFPROTO_INET).expect("a small number");
    let mut body = vec![family, 0];
    body.extend(subsystem.to_be_bytes());
    Attribute::put_all(attributes, &mut body);
    body
}

fn number(kind: u16, number: libc::c_int) -> Attribute {
    Attribute::number(kind, number.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_plain_text_of_bounded_length() {
        let read = |comment: &str| comment_of(&userdata(comment)).unwrap();
        assert_eq!(read("market in /var/lib/claviger"), "market in /var/lib/claviger");
        assert_eq!(read("a \"b\" \\ \n é"), "a ?b? ? ? ?");
        assert_eq!(read(&"x".repeat(300)).len(), COMMENT_LEN_MAX);
        for length in 0..8 {
            let cut = &userdata("market")[..length];
            assert_eq!(comment_of(cut), None, "cut at {length}");
        }
        assert_eq!(comment_of(&[1, 2, b'x', 0]), None, "of another kind");
    }
}
