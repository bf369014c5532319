//! Hashes of pass codes: forms, costs, and the time that a comparison takes.

use super::*;
use crate::keys::tests::{RING_A, RING_B, ring};

fn hash(codes: &PassCodes, code: &str) -> PassCodeHash {
    codes.hash(&Secret::new(code), None, *b"0123456789abcdef", &mut Memory::default()).expect("hashed")
}

fn verdict(codes: &PassCodes, code: &str, stored: &str) -> Verdict {
    let stored = PassCodeHash::from_stored(stored);
    codes.verify(&Secret::new(code), Some(&stored), &mut Memory::default()).expect("compared")
}

fn verify(codes: &PassCodes, code: &str, stored: &str) -> bool {
    verdict(codes, code, stored) != Verdict::Wrong
}

/// From Python's `crypt.crypt`.
const BCRYPT: [&str; 3] = [
    "$2b$04$abcdefghijklmnopqrstuuKiIlCeXB6chNXkLyAo8C7XcLPzh6zUe",
    "$2b$04$abcdefghijklmnopqrstuu.gc7UY/21CSNJGJg21jJzx9QiOpJ9bO",
    "$2b$04$abcdefghijklmnopqrstuuMFdJu9yVgmagVAIC24fOZkaFqd3s9JC",
];

/// A hash as this service would make it with other parameters, under the only key of the ring.
fn made(ring: &KeyRing, algorithm: Algorithm, version: Version, params: &Params, salt: &[u8]) -> String {
    let peppers = ring.derive_hmac("pass-code-pepper");
    let input = match params.keyid() {
        [] => Zeroizing::new(b"1234".to_vec()),
        _ => peppered(peppers.current().1, &Secret::new("1234")),
    };
    let mut output = vec![0; params.output_len().expect("stated")];
    let argon2 = Argon2::new(algorithm, version, params.clone());
    run(&argon2, &input, salt, &mut output, &mut Memory::default()).expect("hashed");
    let phc = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: params.try_into().expect("parameters"),
        salt: Some(Salt::new(salt).expect("a salt")),
        hash: Some(Output::new(&output).expect("an output")),
    };
    phc.to_string()
}

#[test]
fn the_stored_form_states_parameters_and_key() {
    let stored = hash(&PassCodes::new(&ring(&[RING_A])), "1234");
    assert!(stored.as_stored().starts_with("$argon2id$v=19$m=19456,t=2,p=1,keyid=YQ$"), "{}", stored.as_stored());
}

#[test]
fn hashes_of_normalised_secrets_are_marked_and_others_are_compared_with_the_presented_bytes() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    let (composed, decomposed) = ("caf\u{e9} noir", "cafe\u{301} noir");
    for written in [composed, decomposed] {
        let stored = hash(&codes, written);
        assert!(stored.as_stored().contains(",data=nfc0$"), "{}", stored.as_stored());
        for presented in [composed, decomposed] {
            assert_eq!(verdict(&codes, presented, stored.as_stored()), Verdict::Right, "{written:?} {presented:?}");
        }
        assert!(!verify(&codes, "cafe noir", stored.as_stored()));
    }
    // The Kelvin sign is normalised to a letter of ASCII.
    let kelvin = hash(&codes, "300 \u{212a}");
    assert!(verify(&codes, "300 \u{212a}", kelvin.as_stored()) && verify(&codes, "300 K", kelvin.as_stored()));

    // Hashes in the form of version 0.2.0, and in the form of other systems.
    let ring = ring(&[RING_A]);
    let peppers = ring.derive_hmac("pass-code-pepper");
    for written in [composed, decomposed] {
        let params = params("a", &[]).expect("parameters");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let mut output = [0; OUTPUT_BYTES];
        let input = peppered(peppers.current().1, &Secret::new(written));
        run(&argon2, &input, b"0123456789abcdef", &mut output, &mut Memory::default()).expect("hashed");
        let old = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().expect("parameters"),
            salt: Some(Salt::new(b"0123456789abcdef").expect("a salt")),
            hash: Some(Output::new(&output).expect("an output")),
        };
        for presented in [composed, decomposed] {
            let expected = if presented == written { Verdict::Right } else { Verdict::Wrong };
            assert_eq!(verdict(&codes, presented, &old.to_string()), expected, "{written:?} {presented:?}");
        }
    }
    // The mark stands after the note of the strength, which is read as before.
    let strength = Strength::of(&Secret::new("\u{e9}1234"));
    let noted = codes.hash(&Secret::new("e\u{301}1234"), strength, *b"0123456789abcdef", &mut Memory::default());
    let noted = noted.expect("hashed");
    assert!(noted.as_stored().contains(",data=len5nfc0$"), "{}", noted.as_stored());
    assert_eq!(Strength::of_hash(&noted), strength);
    assert_eq!(verdict(&codes, "\u{e9}1234", noted.as_stored()), Verdict::Right);
}

#[test]
fn only_the_same_pass_code_matches() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    let stored = hash(&codes, "pässcode ");
    assert!(verify(&codes, "pässcode ", stored.as_stored()));
    for wrong in ["pässcode", "PÄSSCODE ", "", "1234"] {
        assert!(!verify(&codes, wrong, stored.as_stored()), "{wrong:?}");
    }
    let nothing = codes.verify(&Secret::new(""), None, &mut Memory::default()).expect("compared");
    assert_eq!(nothing, Verdict::Wrong);
}

#[test]
fn a_hash_that_would_be_made_otherwise_today_is_outdated() {
    let ring = ring(&[RING_A]);
    let codes = PassCodes::new(&ring);
    let (id, v13, salt) = (Algorithm::Argon2id, Version::V0x13, b"0123456789abcdef".as_slice());
    let with = |change: fn(&mut ParamsBuilder) -> &mut ParamsBuilder| {
        let mut builder = ParamsBuilder::new();
        let (memory, passes, lanes) = COST;
        builder.m_cost(memory).t_cost(passes).p_cost(lanes).output_len(OUTPUT_BYTES);
        builder.keyid(KeyId::new(b"a").expect("an id"));
        change(&mut builder);
        builder.build().expect("parameters")
    };
    let todays = with(|b| b);
    assert_eq!(verdict(&codes, "1234", &made(&ring, id, v13, &todays, salt)), Verdict::Right);
    let cases = [
        ("less memory", made(&ring, id, v13, &with(|b| b.m_cost(9_728)), salt)),
        ("more memory", made(&ring, id, v13, &with(|b| b.m_cost(20_000)), salt)),
        ("fewer passes", made(&ring, id, v13, &with(|b| b.t_cost(1)), salt)),
        ("more lanes", made(&ring, id, v13, &with(|b| b.p_cost(2)), salt)),
        ("shorter output", made(&ring, id, v13, &with(|b| b.output_len(16)), salt)),
        ("shorter salt", made(&ring, id, v13, &todays, &salt[..8])),
        ("no pepper", made(&ring, id, v13, &with(|b| b.keyid(KeyId::default())), salt)),
        ("another variant", made(&ring, Algorithm::Argon2i, v13, &todays, salt)),
        ("an old version", made(&ring, id, Version::V0x10, &todays, salt)),
    ];
    for (what, stored) in cases {
        assert_eq!(verdict(&codes, "1234", &stored), Verdict::Outdated, "{what}: {stored}");
        assert_eq!(verdict(&codes, "1235", &stored), Verdict::Wrong, "{what}");
    }
}

#[test]
fn hashes_of_other_schemes_are_outdated() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    for stored in [
        "$scrypt$ln=4,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU",
        "$pbkdf2-sha256$i=4096,l=32$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0",
        "$2b$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG",
    ] {
        assert!(codes.accepts(&PassCodeHash::from_stored(stored)), "{stored}");
        assert_eq!(verdict(&codes, "pässword", stored), Verdict::Outdated, "{stored}");
        assert_eq!(verdict(&codes, "password", stored), Verdict::Wrong, "{stored}");
    }
}

#[test]
fn keys_rotate() {
    let old = hash(&PassCodes::new(&ring(&[RING_A])), "1234");
    let both = PassCodes::new(&ring(&[RING_B, RING_A]));
    assert_eq!(verdict(&both, "1234", old.as_stored()), Verdict::Outdated, "it is not under the first key");
    let new = hash(&both, "1234");
    assert!(new.as_stored().contains("keyid=Yg"), "the first key writes");
    assert_eq!(verdict(&both, "1234", new.as_stored()), Verdict::Right);
    let new_only = PassCodes::new(&ring(&[RING_B]));
    assert!(!verify(&new_only, "1234", old.as_stored()) && !new_only.accepts(&old), "its key is gone");
    let other_bytes = PassCodes::new(&ring(&[&RING_B.replace("b ", "a ")]));
    assert!(!verify(&other_bytes, "1234", old.as_stored()), "the id is the same, the key is not");
}

#[test]
fn imported_hashes_are_not_peppered() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    // From the reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -e
    let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    assert!(codes.accepts(&PassCodeHash::from_stored(reference)));
    assert_eq!(verdict(&codes, "password", reference), Verdict::Outdated);
    assert!(!verify(&codes, "Password", reference));
    // argon2i of the first version.
    let oldest = "$argon2i$m=65536,t=2,p=1$c29tZXNhbHQ$9sTbSlTio3Biev89thdrlKKiCaYsjjYVJxGAL3swxpQ";
    assert!(verify(&codes, "password", oldest));
}

#[test]
fn a_hash_states_the_strength_and_is_bound_to_it() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    for code in ["1", "4711", "password"] {
        let secret = Secret::new(code);
        let strength = Strength::of(&secret);
        let stored = codes.hash(&secret, strength, *b"0123456789abcdef", &mut Memory::default()).expect("hashed");
        assert_eq!(Strength::of_hash(&stored), strength, "{}", stored.as_stored());
        assert!(codes.accepts(&stored));
        assert_eq!(verdict(&codes, code, stored.as_stored()), Verdict::Right, "it is not hashed again at each use");
        let other = stored.as_stored().replace("data=len", "data=cmn");
        if other != stored.as_stored() {
            assert_eq!(verdict(&codes, code, &other), Verdict::Wrong);
        }
    }
    assert_eq!(Strength::of_hash(&hash(&codes, "1")), None);
}

#[test]
fn secrets_that_a_scheme_reads_in_part_are_not_rehashed() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    // bcrypt of 80 times `x`, as in `foreign`.
    let bcrypt = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
    let x = |count| "x".repeat(count);
    for read in [x(72), x(80), x(72) + "another", x(72) + "\0", x(71) + "x\0\0"] {
        assert_eq!(verdict(&codes, &read, bcrypt), Verdict::Right, "{} bytes", read.len());
    }
    assert_eq!(verdict(&codes, &x(71), bcrypt), Verdict::Wrong);
    // bcrypt of 36 times `é`, which is 72 bytes, of 71 times `x`, and of `a`.
    let [two_bytes, short, single] = BCRYPT;
    assert_eq!(verdict(&codes, &"é".repeat(36), two_bytes), Verdict::Right);
    assert_eq!(verdict(&codes, &"é".repeat(40), two_bytes), Verdict::Right);
    assert_eq!(verdict(&codes, &x(71), short), Verdict::Outdated);
    assert_eq!(verdict(&codes, "a", single), Verdict::Outdated);
    assert_eq!(verdict(&codes, "a\0a", single), Verdict::Right, "the key is read over and over, its zero included");
    // HMAC fills a short key with zeros.
    let pbkdf2 = "$pbkdf2-sha256$i=4096,l=32$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0";
    let scrypt = "$scrypt$ln=4,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$Uc9gJGhuio/W8l8zaP6AVtG0SxRCsmoraOFrRePLPzU";
    for text in [pbkdf2, scrypt] {
        assert_eq!(verdict(&codes, "pässword", text), Verdict::Outdated);
        assert_eq!(verdict(&codes, "pässword\0", text), Verdict::Right);
    }
}

#[test]
fn hashes_that_cannot_be_checked_are_refused() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    let good = hash(&codes, "1234");
    let good = good.as_stored();
    let salt_and_hash = good.rsplitn(3, '$').collect::<Vec<_>>();
    let (hash, salt) = (salt_and_hash[0], salt_and_hash[1]);
    let cases = [
        String::new(),
        "1234".to_owned(),
        "$argon2id$".to_owned(),
        good.replace("argon2id", "scrypt"),
        good.replace("v=19", "v=99"),
        good.replace("m=19456", "m=262145"),
        good.replace("t=2", "t=11"),
        good.replace("p=1", "p=17"),
        good.replace("m=19456", "m=1"),
        good.replace("keyid=YQ", "keyid=Yg"),
        good.replace("keyid=YQ", "keyid=//"),
        good.replace(hash, ""),
        good.replace(hash, &hash[..8]),
        good.replace(salt, ""),
        good.replace(&format!("${hash}"), ""),
        format!("{good}$x"),
        format!("{good}{}", "A".repeat(600)),
    ];
    for case in cases {
        assert!(!codes.accepts(&PassCodeHash::from_stored(case.clone())), "{case}");
        assert!(!verify(&codes, "1234", &case), "{case}");
    }
}

#[test]
fn hashes_begin_with_the_current_form() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    assert!(hash(&codes, "1234").as_stored().starts_with(&current_form()));
}

/// Medians over interleaved comparisons: no hash, a current one, and cheap ones of other systems.
#[test]
fn cheap_hashes_take_as_long_as_others() {
    let codes = PassCodes::new(&ring(&[RING_A]));
    let current = hash(&codes, "1234");
    let stored: Vec<Option<PassCodeHash>> = [
        None,
        Some(current.as_stored()),
        Some("$pbkdf2-sha256$i=1,l=32$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0"),
        Some("$2b$04$abcdefghijklmnopqrstuum174eFeoTj0DHmtuueFaS3Wde4P7wHG"),
        Some("$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$GWMlBo+bSgfYRoCWoBjedwZoUTVOyzFgbxAbP4rxiW0"),
    ]
    .map(|text| text.map(PassCodeHash::from_stored))
    .into();
    assert!(stored.iter().flatten().all(|stored| codes.accepts(stored)));
    let mut memory = Memory::default();
    let mut times = vec![Vec::new(); stored.len()];
    for _ in 0..60 {
        for (stored, times) in stored.iter().zip(&mut times) {
            let started = Instant::now();
            let verdict = codes.verify(&Secret::new("wrong"), stored.as_ref(), &mut memory).expect("compared");
            times.push(started.elapsed());
            assert_eq!(verdict, Verdict::Wrong);
        }
    }
    let medians: Vec<_> = times
        .iter_mut()
        .map(|times| {
            times.sort_unstable();
            times[times.len() / 2]
        })
        .collect();
    // Without padding the ratio is above ten. Other processes share the cores of a test.
    let (least, most) = (medians.iter().min().expect("some"), medians.iter().max().expect("some"));
    assert!(most.as_secs_f64() < least.as_secs_f64() * 2.0, "{medians:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in r"\$?(argon2(id|i|d)?)?\$?(v=[0-9]{0,3}\$)?(m=[0-9]{0,9},t=[0-9]{0,3},p=[0-9]{0,9})?.{0,80}") {
        PassCodes::new(&ring(&[RING_A])).accepts(&PassCodeHash::from_stored(text));
    }
}
