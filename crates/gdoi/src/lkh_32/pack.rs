//! The key server's wrapped keys in as many messages as it takes, so that a member needs few of them.
//!
//! A member needs one entry of each new key on its path, from the first one upward. Messages are therefore filled with
//! whole pieces of the tree of entries, where the parent of an entry is the one whose new key is wrapped under the
//! former's: from the leaves upward, an entry joins the pieces below it as long as that fits a message and leaves their
//! members with no more messages than they need anyway; where it does not fit, it begins a piece of its own. With `n`
//! entries in all and `m` in a message, a member needs about log(n) / log(m) messages, where the order of levels would
//! cost it one for almost every level. Pieces that do not fill a message share it, a piece with the one above it if
//! that is possible.

use std::ops::Range;

use claviger_keypath::{Entry, Handle, NodeId, Under, UpdateHead};

use crate::{
    error::ApiMisuse,
    wire::lkh_32::{Update, entry_len},
};

/// A new key, wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrap<'a> {
    /// The node whose new key it is.
    pub target: NodeId,
    /// The node whose key it is wrapped under: a child of the target, or the target itself with its previous key.
    pub under: NodeId,
    /// The handle of that key.
    pub handle: Handle,
    /// The new key as AES key wrap leaves it (RFC 3394): 8 octets more than the key.
    pub wrapped: &'a [u8],
}

/// How many messages with room are looked through for a piece. More would save few messages.
const OPEN_MAX: usize = 16;

/// Distributes the wrapped keys of one rekey over updates of at most `room` octets each, the attribute's header
/// included. There is always one, so that members learn of a root that was only advanced.
///
/// The wraps may come in any order; their keys are never sent twice.
///
/// # Errors
///
/// [`ApiMisuse::KeyTree`] if a wrap does not fit the tree or is there twice, [`ApiMisuse::MessageTooLong`] if
/// one does not fit an update.
pub fn pack<'a>(
    head: UpdateHead,
    wraps: impl IntoIterator<Item = Wrap<'a>>,
    room: usize,
) -> Result<Vec<Update>, ApiMisuse> {
    let empty = Update::new(head)?;
    let entries = sorted_entries(&head, wraps)?;
    if entries.is_empty() {
        return Ok(vec![empty]);
    }
    let room = room.checked_sub(Update::OVERHEAD).ok_or(ApiMisuse::MessageTooLong)?;
    let mut pieces: Vec<_> = entries.iter().map(|(entry, _)| Piece::new(&head, entry)).collect();
    if pieces.iter().any(|piece| Update::TARGET_LEN + piece.len > room) {
        return Err(ApiMisuse::MessageTooLong);
    }
    link(&head, &entries, &mut pieces);
    join(&mut pieces, room);

    let messages = fill(&entries, &pieces, room);
    let mut updates = Vec::with_capacity(messages.len());
    for message in messages {
        let mut update = empty.clone();
        for (entry, wrapped) in message.into_iter().map(|place| &entries[place]) {
            update.push(*entry, wrapped)?;
        }
        updates.push(update);
    }
    Ok(updates)
}

type Wrapped<'a> = (Entry, &'a [u8]);

/// Names what each key is wrapped under as the wire does, and sorts: targets from the leaves upward.
fn sorted_entries<'a>(
    head: &UpdateHead,
    wraps: impl IntoIterator<Item = Wrap<'a>>,
) -> Result<Vec<Wrapped<'a>>, ApiMisuse> {
    let entry = |wrap: Wrap<'a>| {
        let under = match wrap.under {
            under if under == wrap.target => Under::Itself,
            under if under.parent(head.degree) == Some(wrap.target) => Under::Child(under.place(head.degree)),
            _ => return Err(ApiMisuse::KeyTree),
        };
        Ok((Entry { target: wrap.target, under, handle: wrap.handle }, wrap.wrapped))
    };
    let mut entries = wraps.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|(entry, _)| (entry.target, entry.under));
    Ok(entries)
}

/// An entry, and the piece that it is the top of.
struct Piece {
    /// The octets of the entry and of what it has joined, less those that name the entry's own target.
    len: usize,
    /// How many messages a member below it needs for the keys up to this one, if each piece has its own.
    height: u32,
    /// The entry above it: the one whose new key is wrapped under this one's.
    parent: Option<usize>,
    /// The entries below it, which stand side by side: the wraps of the key that this one's is under.
    children: Range<usize>,
    /// Whether it is in the piece of its parent.
    joins_parent: bool,
}

impl Piece {
    fn new(head: &UpdateHead, entry: &Entry) -> Self {
        let len = entry_len(head, entry.handle);
        Self { len, height: 1, parent: None, children: 0..0, joins_parent: false }
    }
}

/// Finds parents and children. Parents of ascending entries ascend, so that one walk finds them all.
fn link(head: &UpdateHead, entries: &[Wrapped<'_>], pieces: &mut [Piece]) {
    let mut above = 0;
    let mut start = 0;
    for siblings in entries.chunk_by(|(a, _), (b, _)| a.target == b.target) {
        let children = start..start + siblings.len();
        start = children.end;
        let target = siblings[0].0.target;
        let Some(parent) = target.parent(head.degree) else { continue };
        let key = (parent, Under::Child(target.place(head.degree)));
        while entries.get(above).is_some_and(|(entry, _)| (entry.target, entry.under) < key) {
            above += 1;
        }
        if entries.get(above).is_some_and(|(entry, _)| (entry.target, entry.under) == key) {
            pieces[children.clone()].iter_mut().for_each(|piece| piece.parent = Some(above));
            pieces[above].children = children;
        }
    }
}

/// Joins entries to pieces, so that no member needs more pieces than it must: an entry joins those below it from which
/// members need the most messages, all or none.
fn join(pieces: &mut [Piece], room: usize) {
    // Entries stand before those above them.
    for place in 0..pieces.len() {
        let children = pieces[place].children.clone();
        let below = &pieces[children.clone()];
        let Some(height) = below.iter().map(|child| child.height).max() else { continue };
        let highest = below.iter().filter(|child| child.height == height);
        let len = pieces[place].len + Update::TARGET_LEN + highest.map(|child| child.len).sum::<usize>();
        if Update::TARGET_LEN + len > room {
            pieces[place].height = height + 1;
            continue;
        }
        for child in &mut pieces[children] {
            child.joins_parent = child.height == height;
        }
        (pieces[place].len, pieces[place].height) = (len, height);
    }
}

/// A message that is being filled.
struct Message {
    entries: Vec<usize>,
    /// The targets of its pieces' tops: what names them stands once.
    targets: Vec<NodeId>,
    left: usize,
}

/// Puts the pieces into messages, and returns the entries of each, from the leaves upward.
fn fill(entries: &[Wrapped<'_>], pieces: &[Piece], room: usize) -> Vec<Vec<usize>> {
    let mut messages: Vec<Message> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut message_of = vec![0; pieces.len()];
    let mut tops: Vec<usize> =
        (0..pieces.len()).rev().filter(|&place| pieces[place].parent.is_none()).collect();
    let mut stack = Vec::new();
    loop {
        // Small pieces first: they serve as many members as large ones.
        tops.sort_by_key(|&place| pieces[place].len);
        for place in tops.drain(..) {
            let (piece, target) = (&pieces[place], entries[place].0.target);
            let fits = |messages: &[Message], message: usize| {
                let Message { targets, left, .. } = &messages[message];
                let named = if targets.contains(&target) { 0 } else { Update::TARGET_LEN };
                *left >= piece.len + named
            };
            // The piece above, else the fullest message that has room.
            let above = piece.parent.map(|parent| message_of[parent]).filter(|m| fits(&messages, *m));
            let fullest =
                || open.iter().copied().filter(|m| fits(&messages, *m)).min_by_key(|m| messages[*m].left);
            let message = above.or_else(fullest).unwrap_or_else(|| {
                messages.push(Message { entries: Vec::new(), targets: Vec::new(), left: room });
                if open.len() == OPEN_MAX {
                    open.remove(0);
                }
                open.push(messages.len() - 1);
                messages.len() - 1
            });
            message_of[place] = message;
            let message = &mut messages[message];
            if !message.targets.contains(&target) {
                message.targets.push(target);
                message.left -= Update::TARGET_LEN;
            }
            message.left -= piece.len;
            stack.push(place);
        }
        // Each subtree as a whole, so that neighbours come one after the other.
        let Some(place) = stack.pop() else { break };
        let message = message_of[place];
        messages[message].entries.push(place);
        for child in pieces[place].children.clone() {
            if pieces[child].joins_parent {
                message_of[child] = message;
                stack.push(child);
            } else {
                tops.push(child);
            }
        }
    }
    let mut filled: Vec<_> = messages.into_iter().map(|message| message.entries).collect();
    filled.iter_mut().for_each(|entries| entries.sort_unstable());
    filled.sort_unstable_by_key(|entries| entries[0]);
    filled
}
