//! Which nodes of a level there are, and in which block their rows lie.
//!
//! A level is cut into segments of at most 64 neighbouring nodes, whole families of siblings each. 64 segments make a
//! chapter. Each has a word of 64 bits that says which of its parts are occupied, and each chapter another that says
//! which are full, so that the next vacant or occupied place is found by looking at a few words.

use super::pool::Spot;

/// The segments of a chapter.
const CHAPTER: usize = 64;

/// One segment of a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// A set bit i stands for the i-th node.
    pub(super) occupied: u64,
    /// The block with the rows, in the pool of `class`.
    slab: u32,
    place: u16,
    /// The size of the block.
    pub(super) class: u8,
}

impl Segment {
    /// A segment without nodes and without block.
    pub(super) const VACANT: Self = Self { occupied: 0, slab: 0, place: 0, class: 0 };

    /// Describes a segment whose rows lie in a block.
    pub(super) fn new(occupied: u64, class: u8, spot: Spot) -> Self {
        Self { occupied, slab: spot.slab, place: spot.place, class }
    }

    /// Returns where the rows lie.
    #[inline]
    pub(super) fn spot(&self) -> Spot {
        Spot { slab: self.slab, place: self.place }
    }
}

struct Chapter {
    /// A set bit i stands for a segment i with a node.
    occupied: u64,
    /// A set bit i stands for a segment i without a vacant place.
    full: u64,
    segments: [Segment; CHAPTER],
}

/// The segments of one level. Chapters without nodes take no memory.
#[derive(Default)]
pub(super) struct Directory {
    chapters: Vec<Option<Box<Chapter>>>,
    /// A set bit stands for a full chapter.
    full: Vec<u64>,
}

impl Directory {
    /// Returns a segment.
    #[inline]
    pub(super) fn segment(&self, number: u32) -> Segment {
        match self.chapter(number) {
            Some(chapter) => chapter.segments[number as usize % CHAPTER],
            None => Segment::VACANT,
        }
    }

    /// Says where the rows of a segment with nodes lie now.
    pub(super) fn relocate(&mut self, number: u32, spot: Spot) {
        let chapter = self.chapters[number as usize / CHAPTER].as_mut();
        let chapter = chapter.expect("a segment with a block has its chapter");
        let segment = &mut chapter.segments[number as usize % CHAPTER];
        *segment = Segment::new(segment.occupied, segment.class, spot);
    }

    /// Takes nodes, of which there is at least one, from a segment. Returns the segment as it is then; if it has no node
    /// left, it must be [`Segment::VACANT`] next.
    #[inline]
    pub(super) fn vacate(&mut self, number: u32, gone: u64) -> Segment {
        let (chapter_number, segment_place) = (number as usize / CHAPTER, number as usize % CHAPTER);
        let chapter = self.chapters[chapter_number].as_mut().expect("a segment with nodes has its chapter");
        let segment = &mut chapter.segments[segment_place];
        segment.occupied &= !gone;
        chapter.full &= !(1 << segment_place);
        self.full[chapter_number / 64] &= !(1 << (chapter_number % 64));
        *segment
    }

    /// Changes a segment. `full` says whether it has no vacant place.
    pub(super) fn set(&mut self, number: u32, segment: Segment, full: bool) {
        let (chapter_number, place) = (number as usize / CHAPTER, number as usize % CHAPTER);
        if chapter_number >= self.chapters.len() {
            if segment.occupied == 0 {
                return;
            }
            self.chapters.resize_with(chapter_number + 1, || None);
            self.full.resize(chapter_number / 64 + 1, 0);
        }
        let chapter = self.chapters[chapter_number].get_or_insert_with(Chapter::vacant);
        chapter.segments[place] = segment;
        set_bit(&mut chapter.occupied, place, segment.occupied != 0);
        set_bit(&mut chapter.full, place, full);
        let (occupied, all_full) = (chapter.occupied != 0, chapter.full == u64::MAX);
        set_bit(&mut self.full[chapter_number / 64], chapter_number % 64, all_full);
        if !occupied {
            self.chapters[chapter_number] = None;
            self.truncate();
        }
    }

    fn truncate(&mut self) {
        let length = self.chapters.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        if length < self.chapters.len() {
            self.chapters.truncate(length);
            self.full.truncate(length.div_ceil(64));
            if length <= self.chapters.capacity() / 4 {
                self.chapters.shrink_to(2 * length);
                self.full.shrink_to(2 * length.div_ceil(64));
            }
        }
    }

    /// Finds the first segment from `number` on that has a vacant place. There always is one, if only behind the last.
    pub(super) fn next_with_vacancy(&self, number: u32) -> u32 {
        let (mut chapter, mut place) = (number as usize / CHAPTER, number as usize % CHAPTER);
        while let Some(Some(here)) = self.chapters.get(chapter) {
            let vacant = !here.full & (u64::MAX << place);
            if vacant != 0 {
                place = vacant.trailing_zeros() as usize;
                break;
            }
            place = 0;
            chapter = self.next_chapter_with_vacancy(chapter + 1);
        }
        (chapter * CHAPTER + place) as u32
    }

    fn next_chapter_with_vacancy(&self, chapter: usize) -> usize {
        let mut first = chapter % 64;
        for (number, full) in self.full.iter().enumerate().skip(chapter / 64) {
            let vacant = !full & (u64::MAX << first);
            if vacant != 0 {
                return number * 64 + vacant.trailing_zeros() as usize;
            }
            first = 0;
        }
        chapter.max(self.full.len() * 64)
    }

    /// Goes through the segments with nodes, in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, Segment)> {
        self.iter_from(0)
    }

    /// Goes through the segments with nodes from the chapter of segment `number` on, in order.
    pub(super) fn iter_from(&self, number: u32) -> impl DoubleEndedIterator<Item = (u32, Segment)> {
        let first = number as usize / CHAPTER;
        let chapters = self.chapters.iter().enumerate().skip(first);
        chapters.filter_map(|(number, chapter)| Some((number, chapter.as_deref()?))).flat_map(
            |(number, chapter)| {
                let first = number * CHAPTER;
                let numbered = chapter.segments.iter().enumerate();
                numbered
                    .filter(|(_, segment)| segment.occupied != 0)
                    .map(move |(place, segment)| ((first + place) as u32, *segment))
            },
        )
    }

    #[inline]
    fn chapter(&self, number: u32) -> Option<&Chapter> {
        self.chapters.get(number as usize / CHAPTER)?.as_deref()
    }
}

impl Chapter {
    fn vacant() -> Box<Self> {
        Box::new(Self { occupied: 0, full: 0, segments: [Segment::VACANT; CHAPTER] })
    }
}

fn set_bit(word: &mut u64, place: usize, value: bool) {
    *word = *word & !(1 << place) | u64::from(value) << place;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Segment = Segment { occupied: 5, slab: 9, place: 1, class: 2 };

    #[test]
    fn finds_vacancies_behind_full_chapters() {
        let mut directory = Directory::default();
        assert_eq!(directory.next_with_vacancy(0), 0);
        assert_eq!(directory.next_with_vacancy(1000), 1000);
        let many = 3 * 64 * 64 + 70;
        for number in 0..many {
            directory.set(number, SOME, true);
            assert_eq!(directory.next_with_vacancy(0), number + 1);
        }
        for hole in [5000, 64, 63] {
            directory.set(hole, SOME, false);
            assert_eq!(directory.next_with_vacancy(0), hole);
        }
        assert_eq!(directory.next_with_vacancy(65), 5000);
        assert_eq!(directory.next_with_vacancy(5001), many);
        for number in 0..64 {
            directory.set(number, Segment::VACANT, false);
        }
        assert!(directory.chapters[0].is_none());
        assert_eq!(directory.next_with_vacancy(0), 0);
        assert_eq!(directory.next_with_vacancy(7), 7);
    }

    #[test]
    fn vacant_chapters_take_no_memory() {
        let mut directory = Directory::default();
        directory.set(1_000_000, Segment::VACANT, false);
        assert!(directory.chapters.is_empty());
        directory.set(1_000_000, SOME, false);
        directory.set(3, SOME, false);
        assert_eq!(directory.iter().map(|(number, _)| number).collect::<Vec<_>>(), [3, 1_000_000]);
        assert_eq!(directory.iter_from(64).rev().collect::<Vec<_>>(), [(1_000_000, SOME)]);
        let elsewhere = Spot { slab: 77, place: 7 };
        directory.relocate(3, elsewhere);
        assert_eq!(directory.segment(3), Segment::new(SOME.occupied, SOME.class, elsewhere));
        assert_eq!(directory.vacate(3, 1 << 2).occupied, 1);
        assert_eq!((directory.segment(3).occupied, directory.next_with_vacancy(3)), (1, 3));
        directory.set(1_000_000, Segment::VACANT, false);
        assert!(directory.chapters.len() == 1 && directory.chapters.capacity() <= 2);
        assert_eq!((directory.segment(1_000_000), directory.segment(4)), (Segment::VACANT, Segment::VACANT));
    }
}
