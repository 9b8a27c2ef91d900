//! The limits that bound memory and traffic, each with its reason.

/// The most datagrams of one batch: 256 source blocks, which is what the eight bits of a source block number name
/// (RFC 6330 section 3.2), of [`BLOCK_DATAGRAMS_MAX`] each. A longer rekey is several batches.
pub const DATAGRAMS_MAX: usize = BLOCKS_MAX * BLOCK_DATAGRAMS_MAX;

/// The most source blocks of one batch.
pub const BLOCKS_MAX: usize = 256;

/// The most datagrams of one source block, so that a report counts and names them in one octet each. Larger blocks
/// would make repair less local and not noticeably more efficient.
pub const BLOCK_DATAGRAMS_MAX: usize = 255;

/// What a datagram is padded to at most, in octets: what a jumbo frame carries. It bounds what a decoder works on.
pub const PADDED_LEN_MAX: usize = 9_216;

/// The most source symbols that a datagram is cut into. A repair is an eighth of a datagram at least then, which
/// leaves room for any signature; more would cost more to code and save nothing.
pub const PARTS_MAX: usize = 8;

/// The alignment Al of symbols in octets (RFC 6330 section 3.3.3).
pub const SYMBOL_ALIGNMENT: usize = 4;

/// Octets before a datagram in its source symbols, which tell its length.
pub const LENGTH_LEN: usize = 2;

/// The longest datagram of a batch in octets: what it is padded to less the two octets that tell its length.
pub const DATAGRAM_LEN_MAX: usize = PADDED_LEN_MAX - LENGTH_LEN;

/// The encoding symbol ids of one block that a receiver looks at. No sender gets there: it would have sent a block
/// two hundred times over.
pub const SYMBOL_IDS_MAX: u32 = 1 << 16;

/// The most repairs of one block in one round, as a multiple of those that make up for the whole block. Who needs more
/// than this is better served by unicast, and a receiver that exaggerates cannot make the server send more.
pub const REPAIR_FACTOR_MAX: usize = 2;

/// The most entries of one report. A member's keys lie in a few datagrams; who misses more says how much of each block
/// as long as there is repair, and names the rest in the next report when there is none.
pub const REPORT_ENTRIES_MAX: usize = 64;

/// How many receivers have to miss as much of a block as is repaired by multicast, or is learned from. One that lies, or two,
/// then cost the group nothing but what they are sent alone; of three independent receivers one is honest.
pub const REPORTERS_MIN: usize = 3;

/// The share of a batch, as a divisor, that one receiver is sent alone at most: less than a tenth, with all that is sent
/// to the group for it. A member's keys lie in a few datagrams of a large batch.
pub const UNICAST_SHARE_DIVISOR: usize = 16;

/// The datagrams that each receiver may be sent alone, however small the batch: the longest path of keys, and some of it
/// again.
pub const UNICAST_SHARE_MIN: usize = 16;

/// The reports about one block in one round whose needs are remembered; more would not move the quantile.
pub const NEEDS_MAX: usize = 1_024;

/// The most receivers that are remembered in one round, and served by unicast. With 1,048,576 of them the batch was
/// not delivered at all and the next rekey is nearer than the end of this one.
pub const RECEIVERS_MAX: usize = 1 << 20;

/// The most datagrams that one report is answered with by unicast.
pub const UNICAST_DATAGRAMS_MAX: usize = 64;

/// The most datagrams that wait to be sent by unicast.
pub const UNICAST_QUEUE_MAX: usize = 1 << 20;

/// The most labels of one datagram: more than any message has keys.
pub const LABELS_MAX: usize = u8::MAX as usize;

/// The most labels of one receiver: the levels of the highest tree.
pub const RECEIVER_LABELS_MAX: usize = 32;

/// The most announcements of one round. Each costs a signature; the first few suppress nearly all reports.
pub const ANNOUNCEMENTS_MAX: u8 = 8;
