//! Merkle trees over SHA-256: one signature over a root speaks for every leaf (RFC 9162 section 2.1).
//!
//! ```text
//!           root = H(1 | g | e4)             five leaves; e4 is its own node on the levels where it has no sibling
//!            /            \
//!      g = H(1 | e | f)    e4
//!        /        \          \
//!  e = H(1|a|b)  f = H(1|c|d)  e4            leaf = H(0 | content)
//! ```
//!
//! Leaves and inner nodes are told apart by the octet that is hashed before them, so that no content can be passed
//! off as a node. A branch is what leads from a leaf to the root: the siblings on the way, the leaf's first.

use aws_lc_rs::digest::{self, SHA256};

use crate::CryptoError;

/// The octets of a node.
pub const NODE_LEN: usize = 32;

/// The most leaves of a tree: an index has 16 bits, so that index and count cost four octets beside a branch.
pub const LEAVES_MAX: usize = u16::MAX as usize;

/// The most nodes of a branch: two raised to it is no less than [`LEAVES_MAX`].
pub const BRANCH_MAX: usize = 16;

/// What is hashed before a leaf's content.
pub const LEAF_PREFIX: u8 = 0;

/// What is hashed before the two children of an inner node.
const NODE_PREFIX: u8 = 1;

/// A node: a digest, and no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub [u8; NODE_LEN]);

impl Node {
    /// Hashes a leaf's content.
    pub fn leaf(content: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        context.update(&[LEAF_PREFIX]);
        content.iter().for_each(|part| context.update(part));
        Self::of(&context.finish())
    }

    /// Hashes a leaf whose content stands behind [`LEAF_PREFIX`] already: the quickest way for many leaves.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] unless the octets begin with it.
    pub fn prefixed_leaf(octets: &[u8]) -> Result<Self, CryptoError> {
        match octets.first() {
            Some(&LEAF_PREFIX) => Ok(Self::of(&digest::digest(&SHA256, octets))),
            _ => Err(CryptoError::Length),
        }
    }

    /// Hashes two children.
    fn inner(left: &Self, right: &Self) -> Self {
        let mut octets = [NODE_PREFIX; 1 + 2 * NODE_LEN];
        octets[1..=NODE_LEN].copy_from_slice(&left.0);
        octets[1 + NODE_LEN..].copy_from_slice(&right.0);
        Self::of(&digest::digest(&SHA256, &octets))
    }

    fn of(digest: &digest::Digest) -> Self {
        Self(*digest.as_ref().first_chunk().expect("SHA-256 has 32 octets"))
    }
}

/// A tree with all of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTree {
    /// The leaves, then each level above; the last has one node.
    nodes: Vec<Node>,
    /// How many leaves there are.
    count: usize,
}

impl HashTree {
    /// Builds the tree over 1 to [`LEAVES_MAX`] leaves.
    ///
    /// # Errors
    ///
    /// [`CryptoError::Length`] for none, or more.
    pub fn new(
        leaves: impl IntoIterator<Item = Node, IntoIter: ExactSizeIterator>,
    ) -> Result<Self, CryptoError> {
        let leaves = leaves.into_iter();
        let count = leaves.len();
        if count == 0 || count > LEAVES_MAX {
            return Err(CryptoError::Length);
        }
        let mut nodes = Vec::with_capacity(2 * count + BRANCH_MAX);
        nodes.extend(leaves);
        let mut below = 0..count;
        while below.len() > 1 {
            for left in below.clone().step_by(2) {
                let node = match nodes.get(left + 1).filter(|_| left + 1 < below.end) {
                    Some(right) => Node::inner(&nodes[left], right),
                    // RFC 9162 splits at the largest power of two: a node without sibling stands a level higher.
                    None => nodes[left],
                };
                nodes.push(node);
            }
            below = below.end..nodes.len();
        }
        Ok(Self { nodes, count })
    }

    /// Says how many leaves there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Shows the root.
    pub fn root(&self) -> Node {
        self.nodes[self.nodes.len() - 1]
    }

    /// Goes through the branch of the leaf at `index`: its sibling first. A leaf that does not exist has none.
    pub fn branch(&self, index: usize) -> impl Iterator<Item = &Node> {
        let mut level = if index < self.count { &self.nodes[..] } else { &[] };
        let (mut index, mut width) = (index, self.count);
        std::iter::from_fn(move || {
            let nodes = level.get(..width)?;
            level = if width > 1 { &level[width..] } else { &[] };
            let sibling = nodes.get(index ^ 1);
            (index, width) = (index >> 1, width.div_ceil(2));
            Some(sibling)
        })
        .flatten()
    }
}

/// Says how many nodes the branch of a leaf has; none for a leaf that no tree of `count` leaves has.
pub fn branch_len(index: usize, count: usize) -> Option<usize> {
    if index >= count || count > LEAVES_MAX {
        return None;
    }
    let (mut index, mut last, mut length) = (index, count - 1, 0);
    while last > 0 {
        // The last node of a level has a sibling if its index is odd; all others have one.
        length += usize::from(index < last || index & 1 == 1);
        (index, last) = (index >> 1, last >> 1);
    }
    Some(length)
}

/// Computes the root that a leaf and its branch lead to; whoever vouches for the root vouches for the leaf
/// (RFC 9162 section 2.1.3.2).
///
/// # Errors
///
/// [`CryptoError::Length`] if there is no such leaf, or its branch has another length.
pub fn root_of(leaf: Node, index: usize, count: usize, branch: &[Node]) -> Result<Node, CryptoError> {
    if branch_len(index, count) != Some(branch.len()) {
        return Err(CryptoError::Length);
    }
    let (mut node, mut index, mut last) = (leaf, index, count - 1);
    let mut siblings = branch.iter();
    while last > 0 {
        if index < last || index & 1 == 1 {
            let sibling = siblings.next().ok_or(CryptoError::Length)?;
            node = if index & 1 == 1 { Node::inner(sibling, &node) } else { Node::inner(&node, sibling) };
        }
        (index, last) = (index >> 1, last >> 1);
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of the leaves in the reference tree of Certificate Transparency.
    const CONTENTS: [&[u8]; 8] = [
        &[],
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];

    /// The roots of its first 1, 2, ... 8 leaves.
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// Branches in that tree: leaf, number of leaves, nodes.
    const BRANCHES: [(usize, usize, &[&str]); 2] = [
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
    ];

    fn hex(node: &Node) -> String {
        node.0.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    fn reference(count: usize) -> HashTree {
        HashTree::new(CONTENTS[..count].iter().map(|content| Node::leaf(&[content]))).unwrap()
    }

    /// Leaves that all differ.
    fn leaves(count: usize) -> Vec<Node> {
        (0..count).map(|number| Node::leaf(&[&number.to_be_bytes()])).collect()
    }

    /// MTH as RFC 9162 section 2.1.1 writes it.
    fn by_definition(leaves: &[Node]) -> Node {
        match leaves {
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                Node::inner(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
            }
        }
    }

    #[test]
    fn reference_tree_of_certificate_transparency() {
        for (count, root) in (1..).zip(ROOTS) {
            assert_eq!(hex(&reference(count).root()), root, "{count} leaves");
        }
        for (index, count, nodes) in BRANCHES {
            let branch: Vec<_> = reference(count).branch(index).map(hex).collect();
            assert_eq!(branch, nodes, "leaf {index} of {count}");
        }
    }

    #[test]
    fn every_branch_leads_to_the_root_that_the_definition_gives() {
        for count in (1..=70).chain([127, 128, 129, 1000]) {
            let leaves = leaves(count);
            let tree = HashTree::new(leaves.clone()).unwrap();
            assert_eq!((tree.root(), tree.count()), (by_definition(&leaves), count));
            for (index, leaf) in leaves.iter().enumerate() {
                let branch: Vec<_> = tree.branch(index).copied().collect();
                assert_eq!(branch_len(index, count), Some(branch.len()));
                assert!(branch.len() <= BRANCH_MAX);
                assert_eq!(root_of(*leaf, index, count, &branch), Ok(tree.root()), "{index} of {count}");
            }
        }
    }

    #[test]
    fn another_leaf_place_or_branch_leads_elsewhere_or_nowhere() {
        for count in 1..20 {
            let leaves = leaves(count);
            let tree = HashTree::new(leaves.clone()).unwrap();
            for (index, leaf) in leaves.iter().enumerate() {
                let branch: Vec<_> = tree.branch(index).copied().collect();
                for other in (0..count).filter(|other| *other != index) {
                    assert_ne!(root_of(leaves[other], index, count, &branch), Ok(tree.root()));
                    assert_ne!(root_of(*leaf, other, count, &branch), Ok(tree.root()), "{index} as {other}");
                }
                for place in 0..branch.len() {
                    for bit in 0..8 * NODE_LEN {
                        let mut flipped = branch.clone();
                        flipped[place].0[bit / 8] ^= 1 << (bit % 8);
                        assert_ne!(root_of(*leaf, index, count, &flipped), Ok(tree.root()));
                    }
                    let cut = root_of(*leaf, index, count, &branch[..place]);
                    assert_eq!(cut, Err(CryptoError::Length));
                }
                let longer = [&branch[..], &[*leaf]].concat();
                assert_eq!(root_of(*leaf, index, count, &longer), Err(CryptoError::Length));
            }
        }
    }

    #[test]
    fn a_node_cannot_be_passed_off_as_a_leaf_nor_a_leaf_as_a_node() {
        let leaves = leaves(4);
        let tree = HashTree::new(leaves.clone()).unwrap();
        let (left, right) = (Node::inner(&leaves[0], &leaves[1]), Node::inner(&leaves[2], &leaves[3]));
        // Without prefixes, two leaves' digests would be the content of a leaf in a tree half as high.
        let content = [leaves[0].0, leaves[1].0].concat();
        assert_ne!(Node::leaf(&[&content]), left);
        assert_ne!(root_of(Node::leaf(&[&content]), 0, 2, &[right]), Ok(tree.root()));
        // What a digest alone cannot tell, the count does: it belongs to what is signed.
        assert_eq!(root_of(left, 0, 2, &[right]), Ok(tree.root()));
        assert_eq!(root_of(left, 0, 4, &[right]), Err(CryptoError::Length));
    }

    #[test]
    fn both_ways_of_hashing_a_leaf_agree() {
        assert_eq!(Node::prefixed_leaf(b"\0content"), Ok(Node::leaf(&[b"con", b"", b"tent"])));
        assert_eq!(Node::prefixed_leaf(b"content"), Err(CryptoError::Length));
        assert_eq!(Node::prefixed_leaf(b""), Err(CryptoError::Length));
    }

    #[test]
    fn sizes_are_limited() {
        assert_eq!(HashTree::new([]), Err(CryptoError::Length));
        let leaf = Node::leaf(&[]);
        assert!(HashTree::new(vec![leaf; LEAVES_MAX + 1]).is_err());
        let tree = HashTree::new(vec![leaf; LEAVES_MAX]).unwrap();
        assert_eq!(tree.branch(0).count(), BRANCH_MAX);
        assert_eq!(tree.branch(LEAVES_MAX).count(), 0);
        assert_eq!(branch_len(0, 0), None);
        assert_eq!(branch_len(7, 7), None);
        assert_eq!(branch_len(0, LEAVES_MAX + 1), None);
    }
}
