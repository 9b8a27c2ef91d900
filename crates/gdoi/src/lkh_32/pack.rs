//! The key server's wrapped keys in as many messages as it takes, so that a member needs few of them.
//!
//! A member needs one entry of each new key on its path, from the first one upward. Messages are therefore filled with
//! whole pieces of the tree: from the leaves upward, a node joins the piece of its children as long as that fits a
//! message and leaves their members with no more messages than they need anyway; where it does not fit, it begins a
//! piece of its own. With `n` entries in all and `m` in a message, a member needs about log(n) / log(m) messages, where
//! the order of levels would cost it one for almost every level. Pieces that do not fill a message share it, a piece
//! with the one above it if that is possible.

use super::{Handle, NodeId};
use crate::{
    error::ApiMisuse,
    wire::lkh_32::{Entry, Under, Update, UpdateHead},
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
/// [`ApiMisuse::KeyTree`] if a wrap does not fit the tree or is there twice, [`ApiMisuse::MessageTooLong`] if a node's
/// wrapped keys do not fit an update.
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
    let mut targets = targets(&head, &entries);
    if targets.iter().any(|target| target.len > room) {
        return Err(ApiMisuse::MessageTooLong);
    }
    link(&head, &mut targets);
    join(&mut targets, room);

    let messages = fill(&targets, room);
    let mut updates = Vec::with_capacity(messages.len());
    for message in messages {
        let mut update = empty.clone();
        for target in message {
            for (entry, wrapped) in &entries[targets[target].entries.clone()] {
                update.push(*entry, wrapped)?;
            }
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

/// A node with a new key.
struct Target {
    id: NodeId,
    entries: std::ops::Range<usize>,
    /// The octets of its entries.
    len: usize,
    /// The target above it, if that has a new key too.
    parent: Option<usize>,
    /// How many messages a member below it needs for the keys up to this one, if each piece has its own.
    height: u32,
    /// The octets of the piece that it is the top of, or part of, with all that is below in the same piece.
    piece_len: usize,
    /// Whether it is in the piece of its parent.
    joins_parent: bool,
}

fn targets(head: &UpdateHead, entries: &[Wrapped<'_>]) -> Vec<Target> {
    let mut start = 0;
    entries
        .chunk_by(|(a, _), (b, _)| a.target == b.target)
        .map(|chunk| {
            let range = start..start + chunk.len();
            start = range.end;
            let wrapped: usize = chunk.iter().map(|(entry, _)| head.entry_len(entry.handle)).sum();
            let len = Update::TARGET_LEN + wrapped;
            let id = chunk[0].0.target;
            Target { id, entries: range, len, parent: None, height: 1, piece_len: len, joins_parent: false }
        })
        .collect()
}

/// Finds each target's parent. Parents of ascending ids ascend, so that one walk finds them all.
fn link(head: &UpdateHead, targets: &mut [Target]) {
    let mut above = 0;
    for place in 0..targets.len() {
        let Some(parent) = targets[place].id.parent(head.degree) else { continue };
        while targets.get(above).is_some_and(|target| target.id < parent) {
            above += 1;
        }
        targets[place].parent =
            Some(above).filter(|&above| targets.get(above).is_some_and(|t| t.id == parent));
    }
}

/// Joins targets to pieces, so that no member needs more pieces than it must: a node joins those of its children from
/// which members need the most messages, all or none.
fn join(targets: &mut [Target], room: usize) {
    /// What the children of a target come to.
    #[derive(Clone, Copy, Default)]
    struct Below {
        height: u32,
        /// The octets of the pieces of the children of that height.
        len: usize,
    }
    let mut below = vec![Below::default(); targets.len()];
    for place in 0..targets.len() {
        let Below { height, len } = below[place];
        let target = &mut targets[place];
        if height > 0 {
            if target.len + len <= room {
                target.piece_len = target.len + len;
                target.height = height;
            } else {
                target.height = height + 1;
            }
        }
        let (height, piece_len) = (target.height, target.piece_len);
        let Some(parent) = target.parent else { continue };
        match &mut below[parent] {
            above if height > above.height => *above = Below { height, len: piece_len },
            above if height == above.height => above.len += piece_len,
            _ => {}
        }
    }
    for place in 0..targets.len() {
        let Some(parent) = targets[place].parent else { continue };
        // A parent that is no higher than its highest children has joined them.
        targets[place].joins_parent = targets[parent].height == targets[place].height;
    }
}

/// Puts the pieces into messages, and returns the targets of each, from the leaves upward.
fn fill(targets: &[Target], room: usize) -> Vec<Vec<usize>> {
    /// A message that is being filled.
    struct Message {
        targets: Vec<usize>,
        left: usize,
    }
    let mut messages: Vec<Message> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut message_of = vec![0; targets.len()];
    for place in top_down(targets) {
        let target = &targets[place];
        let parents = target.parent.map(|parent| message_of[parent]);
        let message = match parents {
            Some(message) if target.joins_parent => message,
            // The piece above, else the fullest one that has room.
            _ => {
                let fits = |message: &usize| messages[*message].left >= target.piece_len;
                let fullest = || open.iter().copied().filter(fits).min_by_key(|m| messages[*m].left);
                let message = parents.filter(fits).or_else(fullest).unwrap_or(messages.len());
                if message == messages.len() {
                    messages.push(Message { targets: Vec::new(), left: room });
                    if open.len() == OPEN_MAX {
                        open.remove(0);
                    }
                    open.push(message);
                }
                messages[message].left -= target.piece_len;
                message
            }
        };
        messages[message].targets.push(place);
        message_of[place] = message;
    }
    let mut filled: Vec<_> = messages.into_iter().map(|message| message.targets).collect();
    filled.iter_mut().for_each(|targets| targets.sort_unstable());
    filled.sort_unstable_by_key(|targets| targets[0]);
    filled
}

/// Goes through the targets from the root downward, each subtree as a whole, so that neighbours come one after the other.
fn top_down(targets: &[Target]) -> Vec<usize> {
    // The children of a target stand side by side.
    let mut children = vec![0..0; targets.len()];
    let mut stack = Vec::new();
    for (place, target) in targets.iter().enumerate() {
        match target.parent {
            None => stack.push(place),
            Some(parent) if children[parent].is_empty() => children[parent] = place..place + 1,
            Some(parent) => children[parent].end = place + 1,
        }
    }
    let mut order = Vec::with_capacity(targets.len());
    while let Some(place) = stack.pop() {
        order.push(place);
        stack.extend(children[place].clone().rev());
    }
    order
}
