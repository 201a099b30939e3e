//! Doubles of decimals whose mantissa does not fit 53 bits, by one multiplication with a power of
//! five of 128 bits (the method of Eisel and Lemire). Where that cannot decide, it says so.

/// Powers of ten whose powers of five, or their reciprocals, are good to 128 bits.
const POWER_MAX: i64 = 27;
const COUNT: usize = 2 * POWER_MAX as usize + 1;

/// The first 128 bits of five to the power of -27 to 27: exact for the positive ones, rounded up
/// for the reciprocals.
const FIVES: [(u64, u64); COUNT] = {
    let mut table = [(0, 0); COUNT];
    let mut power = 0;
    let mut five = 1_u128;
    while power <= POWER_MAX as usize {
        let exact = five << five.leading_zeros();
        table[POWER_MAX as usize + power] = ((exact >> 64) as u64, exact as u64);
        if power > 0 {
            let reciprocal = reciprocal(five);
            table[POWER_MAX as usize - power] = ((reciprocal >> 64) as u64, reciprocal as u64);
        }
        power += 1;
        five *= 5;
    }
    table
};

/// The first 128 bits of 1 / `divisor`, rounded up; the divisor is no power of two.
const fn reciprocal(divisor: u128) -> u128 {
    let mut quotient = 0_u128;
    let mut rest = 1_u128;
    // Until the highest bit is set.
    while quotient >> 127 == 0 {
        rest *= 2;
        quotient *= 2;
        if rest >= divisor {
            rest -= divisor;
            quotient += 1;
        }
    }
    quotient + 1
}

/// The bits of the double nearest to `mantissa` times ten to the power of `exponent`; `None` if
/// this way cannot tell.
#[inline]
pub fn nearest(mantissa: u64, exponent: i64) -> Option<u64> {
    if mantissa == 0 || !(-POWER_MAX..=POWER_MAX).contains(&exponent) {
        return None;
    }
    let zeros = mantissa.leading_zeros();
    let (high, low) = FIVES[(exponent + POWER_MAX) as usize];
    let scaled = mantissa << zeros;
    let mut product = u128::from(scaled) * u128::from(high);
    // Bits that are dropped when rounding: only if they are all set can the rest of the power
    // change what is kept.
    const DROPPED: u64 = (1 << 9) - 1;
    if (product >> 64) as u64 & DROPPED == DROPPED {
        let more = (u128::from(scaled) * u128::from(low)) >> 64;
        product += more;
    }
    let (top, bottom) = ((product >> 64) as u64, product as u64);
    let high_bit = (top >> 63) as u32;
    // 53 bits and one to round by.
    let shift = 9 + high_bit;
    let mut bits = top >> shift;
    if bottom <= 1 && bits & 3 == 1 && bits << shift == top {
        // Exactly between two doubles, perhaps: the even one is meant, unless more digits followed.
        if !(-4..=23).contains(&exponent) {
            return None;
        }
        bits &= !1;
    }
    bits = (bits + (bits & 1)) >> 1;
    // The power of two of the product's highest bit: log2(10) in fractions of 2^16.
    let mut power = ((exponent * 217_706) >> 16) + 63 + i64::from(high_bit) - i64::from(zeros);
    if bits >> 53 != 0 {
        bits >>= 1;
        power += 1;
    }
    let biased = power + 1023;
    (1..2047).contains(&biased).then_some((biased as u64) << 52 | (bits & ((1 << 52) - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn check(mantissa: u64, exponent: i64) -> bool {
        let expected: f64 = format!("{mantissa}e{exponent}").parse().unwrap();
        match nearest(mantissa, exponent) {
            Some(bits) => {
                assert_eq!(bits, expected.to_bits(), "{mantissa}e{exponent}");
                true
            }
            None => false,
        }
    }

    #[test]
    fn nearest_doubles_are_those_of_the_standard_library() {
        let mut random = Random::new(8);
        let mut told = 0;
        for _ in 0..300_000 {
            let exponent = random.below(57) as i64 - 28;
            let mantissa = random.next() >> random.below(64);
            told += check(mantissa, exponent) as usize;
            // Near the middle between two doubles.
            let middle = (random.next() >> 10 | 1 << 53) << random.below(11);
            for near in [middle - 1, middle, middle + 1] {
                check(near, exponent);
                check(near, 0);
            }
        }
        assert!(told > 280_000, "{told}");
        // A decimal of 17 digits that was written from a double, as programs do.
        for _ in 0..100_000 {
            let value = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
            let text = format!("{value:.17}");
            let digits: u64 = text.split_once('.').unwrap().1.parse().unwrap();
            check(digits, -17);
        }
    }

    #[test]
    fn halves_round_to_even() {
        for (mantissa, exponent) in [
            (9_007_199_254_740_993, 0),
            (9_007_199_254_740_995, 0),
            (90_071_992_547_409_930, -1),
            (90_071_992_547_409_935, -1),
            (18_014_398_509_481_986, 0),
            (45_035_996_273_704_975, -1),
            (45_035_996_273_704_965, -1),
            (1, 23),
            (8_589_934_592, 22),
            (u64::MAX, 0),
            (u64::MAX, 27),
            (u64::MAX, -27),
        ] {
            check(mantissa, exponent);
        }
    }
}
