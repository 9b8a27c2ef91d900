//! One lane in a 128-bit register, by AES-NI, SSSE3 and SSE4.1.

#![expect(unsafe_code, reason = "the compiler cannot know that the CPU has these instructions")]

use std::arch::x86_64::{
    __m128i, _mm_aesdec_si128, _mm_aesdeclast_si128, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_blend_epi16,
    _mm_bslli_si128, _mm_loadu_si128, _mm_mul_epu32, _mm_set_epi64x, _mm_set1_epi32, _mm_setzero_si128,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_slli_epi64, _mm_srli_epi64, _mm_storeu_si128,
    _mm_unpackhi_epi64, _mm_unpacklo_epi64, _mm_xor_si128,
};

use crate::vector::lanes::{Block, Kernel, Lanes};

/// The proof that this CPU has AES-NI, SSSE3 and SSE4.1.
///
/// Only [`AesNi::detect`] makes one. Each block of unsafe code here calls instructions of these sets, which the proof
/// makes sound; those that read or write memory say what makes that sound.
#[derive(Clone, Copy)]
pub(super) struct AesNi(());

impl AesNi {
    /// Makes the proof, if it is one.
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        has_all.then_some(Self(()))
    }
}

impl Lanes for AesNi {
    type Register = __m128i;

    const LANES: usize = 1;

    #[inline(always)]
    fn enter<K: Kernel<Self>>(self, kernel: K) {
        #[target_feature(enable = "aes,ssse3,sse4.1")]
        fn with_features<K: Kernel<AesNi>>(lanes: AesNi, kernel: K) {
            kernel.run(lanes);
        }
        // SAFETY: `self` proves the features.
        unsafe { with_features(self, kernel) }
    }

    #[inline(always)]
    fn zero(self) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_setzero_si128() }
    }

    #[inline(always)]
    fn splat(self, block: &Block) -> __m128i {
        // SAFETY: the reference is to 16 octets, and the instruction asks for no alignment.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }

    #[inline(always)]
    fn gather(self, load: impl Fn(usize) -> Block) -> __m128i {
        self.splat(&load(0))
    }

    #[inline(always)]
    fn scatter(self, register: __m128i, mut store: impl FnMut(usize, &Block)) {
        let mut block = [0; 16];
        // SAFETY: the array has 16 octets, and the instruction asks for no alignment.
        unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), register) };
        store(0, &block);
    }

    #[inline(always)]
    fn xor(self, left: __m128i, right: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_xor_si128(left, right) }
    }

    #[inline(always)]
    fn first_second(self, first: __m128i, second: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_blend_epi16::<0b1111_0000>(first, second) }
    }

    #[inline(always)]
    fn first_twice(self, register: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_unpacklo_epi64(register, register) }
    }

    #[inline(always)]
    fn seconds(self, left: __m128i, right: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_unpackhi_epi64(left, right) }
    }

    #[inline(always)]
    fn last_word(self, register: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_shuffle_epi32::<0b11_11_11_11>(register) }
    }

    #[inline(always)]
    fn last_word_rotated(self, register: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_shuffle_epi8(register, _mm_set1_epi32(0x0c0f_0e0d)) }
    }

    #[inline(always)]
    fn running_xor(self, register: __m128i, with: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe {
            let pairs = _mm_xor_si128(register, _mm_bslli_si128::<4>(register));
            _mm_xor_si128(_mm_xor_si128(pairs, _mm_bslli_si128::<8>(pairs)), with)
        }
    }

    #[inline(always)]
    fn double(self, register: __m128i) -> __m128i {
        let reverse = self.splat(&std::array::from_fn(|i| 15 - i as u8));
        // SAFETY: `self` proves the features.
        unsafe {
            let number = _mm_shuffle_epi8(register, reverse);
            // The top bit of each half goes to the other: to the upper half as it is, to the lower as 0x87.
            let carries = _mm_shuffle_epi32::<0b01_00_11_10>(_mm_srli_epi64::<63>(number));
            let carries = _mm_mul_epu32(carries, _mm_set_epi64x(1, 0x87));
            let doubled = _mm_xor_si128(_mm_slli_epi64::<1>(number), carries);
            _mm_shuffle_epi8(doubled, reverse)
        }
    }

    #[inline(always)]
    fn encrypt(self, state: __m128i, round_key: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_aesenc_si128(state, round_key) }
    }

    #[inline(always)]
    fn encrypt_last(self, state: __m128i, round_key: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_aesenclast_si128(state, round_key) }
    }

    #[inline(always)]
    fn decrypt(self, state: __m128i, round_key: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_aesdec_si128(state, round_key) }
    }

    #[inline(always)]
    fn decrypt_last(self, state: __m128i, round_key: __m128i) -> __m128i {
        // SAFETY: `self` proves the features.
        unsafe { _mm_aesdeclast_si128(state, round_key) }
    }
}
