//! Four lanes in a 512-bit register, by AVX-512 and VAES.

#![expect(unsafe_code, reason = "the compiler cannot know that the CPU has these instructions")]

use std::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm_storeu_si128, _mm512_aesdec_epi128, _mm512_aesdeclast_epi128,
    _mm512_aesenc_epi128, _mm512_aesenclast_epi128, _mm512_broadcast_i32x4, _mm512_bslli_epi128,
    _mm512_castsi128_si512, _mm512_extracti32x4_epi32, _mm512_inserti32x4, _mm512_mask_blend_epi64,
    _mm512_mul_epu32, _mm512_set_epi64, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_shuffle_epi32, _mm512_slli_epi64, _mm512_srli_epi64, _mm512_ternarylogic_epi64,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use crate::vector::lanes::{Block, Kernel, Lanes};

/// The proof that this CPU has AVX-512F, AVX-512BW and VAES, and that the system keeps the registers.
///
/// Only [`Vaes::detect`] makes one. Each block of unsafe code here calls instructions of these sets, which the proof
/// makes sound; those that read or write memory say what makes that sound.
#[derive(Clone, Copy)]
pub(super) struct Vaes(());

impl Vaes {
    /// Makes the proof, if it is one.
    pub(super) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("vaes");
        has_all.then_some(Self(()))
    }
}

impl Lanes for Vaes {
    type Register = __m512i;

    const LANES: usize = 4;

    #[inline(always)]
    fn enter<K: Kernel<Self>>(self, kernel: K) {
        #[target_feature(enable = "avx512f,avx512bw,vaes")]
        fn with_features<K: Kernel<Vaes>>(lanes: Vaes, kernel: K) {
            kernel.run(lanes);
        }
        // SAFETY: `self` proves the features.
        unsafe { with_features(self, kernel) }
    }

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn splat(self, block: &Block) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_broadcast_i32x4(load(block)) }
    }

    #[inline(always)]
    fn gather(self, from: impl Fn(usize) -> Block) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe {
            let first = _mm512_castsi128_si512(load(&from(0)));
            let second = _mm512_inserti32x4::<1>(first, load(&from(1)));
            let third = _mm512_inserti32x4::<2>(second, load(&from(2)));
            _mm512_inserti32x4::<3>(third, load(&from(3)))
        }
    }

    #[inline(always)]
    fn scatter(self, register: __m512i, mut to: impl FnMut(usize, &Block)) {
        // SAFETY: `self` proves the features.
        let lanes = unsafe {
            [
                _mm512_extracti32x4_epi32::<0>(register),
                _mm512_extracti32x4_epi32::<1>(register),
                _mm512_extracti32x4_epi32::<2>(register),
                _mm512_extracti32x4_epi32::<3>(register),
            ]
        };
        for (lane, block) in lanes.into_iter().enumerate() {
            to(lane, &store(block));
        }
    }

    #[inline(always)]
    fn xor(self, left: __m512i, right: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_xor_si512(left, right) }
    }

    #[inline(always)]
    fn first_second(self, first: __m512i, second: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_mask_blend_epi64(0b1010_1010, first, second) }
    }

    #[inline(always)]
    fn first_twice(self, register: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_unpacklo_epi64(register, register) }
    }

    #[inline(always)]
    fn seconds(self, left: __m512i, right: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_unpackhi_epi64(left, right) }
    }

    #[inline(always)]
    fn last_word(self, register: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_shuffle_epi32::<0b11_11_11_11>(register) }
    }

    #[inline(always)]
    fn last_word_rotated(self, register: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_shuffle_epi8(register, _mm512_set1_epi32(0x0c0f_0e0d)) }
    }

    #[inline(always)]
    fn running_xor(self, register: __m512i, with: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe {
            let pairs = _mm512_xor_si512(register, _mm512_bslli_epi128::<4>(register));
            // 0x96 is the truth table of an exclusive or of three.
            _mm512_ternarylogic_epi64::<0x96>(pairs, _mm512_bslli_epi128::<8>(pairs), with)
        }
    }

    #[inline(always)]
    fn double(self, register: __m512i) -> __m512i {
        let reverse = self.splat(&std::array::from_fn(|i| 15 - i as u8));
        // SAFETY: `self` proves the features.
        unsafe {
            let number = _mm512_shuffle_epi8(register, reverse);
            // The top bit of each half goes to the other: to the upper half as it is, to the lower as 0x87.
            let carries = _mm512_shuffle_epi32::<0b01_00_11_10>(_mm512_srli_epi64::<63>(number));
            let carries = _mm512_mul_epu32(carries, _mm512_set_epi64(1, 0x87, 1, 0x87, 1, 0x87, 1, 0x87));
            let doubled = _mm512_xor_si512(_mm512_slli_epi64::<1>(number), carries);
            _mm512_shuffle_epi8(doubled, reverse)
        }
    }

    #[inline(always)]
    fn encrypt(self, state: __m512i, round_key: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_aesenc_epi128(state, round_key) }
    }

    #[inline(always)]
    fn encrypt_last(self, state: __m512i, round_key: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_aesenclast_epi128(state, round_key) }
    }

    #[inline(always)]
    fn decrypt(self, state: __m512i, round_key: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_aesdec_epi128(state, round_key) }
    }

    #[inline(always)]
    fn decrypt_last(self, state: __m512i, round_key: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_aesdeclast_epi128(state, round_key) }
    }
}

#[inline(always)]
fn load(block: &Block) -> __m128i {
    // SAFETY: the reference is to 16 octets, and the instruction asks for no alignment; SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

#[inline(always)]
fn store(register: __m128i) -> Block {
    let mut block = [0; 16];
    // SAFETY: the array has 16 octets, and the instruction asks for no alignment; SSE2 is part of x86-64.
    unsafe { _mm_storeu_si128(block.as_mut_ptr().cast(), register) };
    block
}
