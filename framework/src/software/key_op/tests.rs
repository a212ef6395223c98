use super::*;
use crate::software::{Slices, Transform};
use crate::{Digest, Mode, Operation, SessionParams};

// Wycheproof, rsa_pkcs1_2048_test.json, first group, test 2:
// n, d, p, q, d mod p - 1, d mod q - 1, 1/q mod p, ciphertext, message.
const RSA: [&str; 9] = [
    "b3510a2bcd4ce644c5b594ae5059e12b2f054b658d5da5959a2fdf1871b808bc3df3e628d2792e51aad5c124b43bda453dca5cde4bcf28e7bd4effba0cb4b742bbb6d5a013cb63d1aa3a89e02627ef5398b52c0cfd97d208abeb8d7c9bce0bbeb019a86ddb589beb29a5b74bf861075c677c81d430f030c265247af9d3c9140ccb65309d07e0adc1efd15cf17e7b055d7da3868e4648cc3a180f0ee7f8e1e7b18098a3391b4ce7161e98d57af8a947e201a463e2d6bbca8059e5706e9dfed8f4856465ffa712ed1aa18e888d12dc6aa09ce95ecfca83cc5b0b15db09c8647f5d524c0f2e7620a3416b9623cadc0f097af573261c98c8400aa12af38e43cad84d",
    "1a502d0eea6c7b69e21d5839101f705456ed0ef852fb47fe21071f54c5f33c8ceb066c62d727e32d26c58137329f89d3195325b795264c195d85472f7507dbd0961d2951f935a26b34f0ac24d15490e1128a9b7138915bc7dbfa8fe396357131c543ae9c98507368d9ceb08c1c6198a3eda7aea185a0e976cd42c22d00f003d9f19d96ea4c9afcbfe1441ccc802cfb0689f59d804c6a4e4f404c15174745ed6cb8bc88ef0b33ba0d2a80e35e43bc90f350052e72016e75b00d357a381c9c0d467069ca660887c987766349fcc43460b4aa516bce079edd87ba164307b752c277ed9528ad3ba0bf1877349ed3b7966a6c240110409bf4d0fade0c68fdadd847fd",
    "ec125cf37e310a2ff46263b9b2e0629d6390005ec88913d4fb71bd4dd856124498aaeba983d7ba2bd942e64d223feb7a23af4d605efeea6bd70d39afe99d35a3aa15e74a1768778093be0edd4a8d09b2def6dc9b67ff85764625c2e19236db4c401ce30a2572d3ecb4f969b7ad19c522c02d774465676e1a3776c54d6248348b",
    "c2742abcd9897bd4b0b671f973fc82a8f84abf5705ff88dd41948623afe9dca60dc6543390767feaebeb539576ee8bfa61b5fcbca94a7cef75a09150c540fa9694dd8004ad23718c889049219369c99f4458d4afc148f6f07df87324a96d9cf7b385dd8622414a1832f9f29446f050c2d5a6407649dc41ab70e23b3dcc22c987",
    "96a9798d250263400bb6277342881627e07cecdf91187b01b89ff47314188a7c20fb24800156d2c85d5666e8df6ceff9f9804ddfad80ff5767de56ecc029c72bf6c717df9f64daafc29acf9dc7908f9a0ad67e20e8949936ccba18d021a2c4febb04349a2b2047c4901385b6e5d0c691d118b33f81802b32ac272ef09e42fad5",
    "0554f41b0b87f68a45722b3be0cf4ab1e165034c1a91002ab8f29e9ef9e2dab6fee7b2455bafb42037e9d2f7e533f348a147412fd72080be7c2633f5d802c91c39e6bcece3e675e59995033c55737020dad9e8b30d04b828adfb9304ad54a11a35a4f50709876ac5b118236ba76a4d7c9a291dd9607b169de1d182385691999f",
    "1c640189d9bfe8c623833210a76c420c6f44e5d760e259916cec2ae2b156456960fd95e2747660c389562250f055049cfab7e5c3039549384a7a2aaeb1c824d3af709482a8cf9b587022a00b1f0722db50f33cb26dc20dd2245d5265df61ee2983c938c2167dcee121fc4b4479c237e728cf633ab60a8c0ecd04fce7e3baa559",
    "a9acec7e58761d9191249ff7ea5db499cadccc51d29f8e7fd0aa2cb9962095626f1cadae29666f04ce2afd4b650be59d071d06446d59107eb508cc60545727b0567dfb4f2f94ca60b939c60be111172f367dfd235516e4a60061648c67f5536650821ac2a60744be3cf6befa8f66e76a3e7c5fbc6dfa4dda55ecbdbffdc98d610de5667a4f485f6168b52bbe470e6014253874ce7b78e509937e0bc5f02857e1ad3cf55139bbe6dc7ac4b1ed5097bf781b7671ca9bb58187aa6c71c58ac0561c5aacf96c35deb24e395b6823de7fc96b8031b5906a34c4dc57e4f1226157b9abd849e1367dda014fbf9ed4ca515a7a04cf87787945007e4f63c0366a5bbc3489",
    "0000000000000000000000000000000000000000",
];

// RFC 5114 appendix A.1: p, g, xA, xB, yB, Z.
const DH: [&str; 6] = [
    "b10b8f96a080e01dde92de5eae5d54ec52c99fbcfb06a3c69a6a9dca52d23b616073e28675a23d189838ef1e2ee652c013ecb4aea906112324975c3cd49b83bfaccbdd7d90c4bd7098488e9c219a73724effd6fae5644738faa31a4ff55bccc0a151af5f0dc8b4bd45bf37df365c1a65e68cfda76d4da708df1fb2bc2e4a4371",
    "a4d1cbd5c3fd34126765a442efb99905f8104dd258ac507fd6406cff14266d31266fea1e5c41564b777e690f5504f213160217b4b01b886a5e91547f9e2749f4d7fbd7d3b9a92ee1909d0d2263f80a76a6a24c087a091f531dbf0a0169b6a28ad662a4d18e73afa32d779d5918d08bc8858f4dcef97c2a24855e6eeb22b3b2e5",
    "b9a3b3ae8fefc1a2930496507086f8455d48943e",
    "9392c9f9eb6a7a6a9022f7d83e7223c6835bbdda",
    "717a6cb053371ff4a3b932941c1e5663f861a1d6ad34ae66576dfb98f6c6cbf9ddd5a56c7833f6bcfdff095582ad868e440e8d09fd769e3ceccdc3d3b1e4cfa057776caaf9739b6a9fee8e7411f8d6dac09d6a4edb46cc2b5d5203090eae6126311e53fd2c14b574e6a3109a3da1be41bdceaa186f5ce06716a2b6a07b3c33fe",
    "5c804f454d30d9c4df85271f93528c91df6b48ab5f80b3b59caac1b28f8acba9cd3e39f3cb614525d9521d2e644c53b807b810f340062f257d7d6fbfe8d5e8f072e9b6e9afda9413eafb2e8b0699b1fb5a0caceddeaead7e9cfbb36ae2b420835bd83a19fb0b5e96bf8fa4d09e345525167ecd9155416f46f408ed31b63c6e6d",
];

// RFC 6979 appendices A.2.1 and A.2.2: p, q, g, x, y.
const DSA_1024: [&str; 5] = [
    "86F5CA03DCFEB225063FF830A0C769B9DD9D6153AD91D7CE27F787C43278B447E6533B86B18BED6E8A48B784A14C252C5BE0DBF60B86D6385BD2F12FB763ED8873ABFD3F5BA2E0A8C0A59082EAC056935E529DAF7C610467899C77ADEDFC846C881870B7B19B2B58F9BE0521A17002E3BDD6B86685EE90B3D9A1B02B782B1779",
    "996F967F6C8E388D9E28D01E205FBA957A5698B1",
    "07B0F92546150B62514BB771E2A0C0CE387F03BDA6C56B505209FF25FD3C133D89BBCD97E904E09114D9A7DEFDEADFC9078EA544D2E401AEECC40BB9FBBF78FD87995A10A1C27CB7789B594BA7EFB5C4326A9FE59A070E136DB77175464ADCA417BE5DCE2F40D10A46A3A3943F26AB7FD9C0398FF8C76EE0A56826A8A88F1DBD",
    "411602CB19A6CCC34494D79D98EF1E7ED5AF25F7",
    "5DF5E01DED31D0297E274E1691C192FE5868FEF9E19A84776454B100CF16F65392195A38B90523E2542EE61871C0440CB87C322FC4B4D2EC5E1E7EC766E1BE8D4CE935437DC11C3C8FD426338933EBFE739CB3465F4D3668C5E473508253B1E682F65CBDC4FAE93C2EA212390E54905A86E2223170B44EAA7DA5DD9FFCFB7F3B",
];
const DSA_2048: [&str; 5] = [
    "9DB6FB5951B66BB6FE1E140F1D2CE5502374161FD6538DF1648218642F0B5C48C8F7A41AADFA187324B87674FA1822B00F1ECF8136943D7C55757264E5A1A44FFE012E9936E00C1D3E9310B01C7D179805D3058B2A9F4BB6F9716BFE6117C6B5B3CC4D9BE341104AD4A80AD6C94E005F4B993E14F091EB51743BF33050C38DE235567E1B34C3D6A5C0CEAA1A0F368213C3D19843D0B4B09DCB9FC72D39C8DE41F1BF14D4BB4563CA28371621CAD3324B6A2D392145BEBFAC748805236F5CA2FE92B871CD8F9C36D3292B5509CA8CAA77A2ADFC7BFD77DDA6F71125A7456FEA153E433256A2261C6A06ED3693797E7995FAD5AABBCFBE3EDA2741E375404AE25B",
    "F2C3119374CE76C9356990B465374A17F23F9ED35089BD969F61C6DDE9998C1F",
    "5C7FF6B06F8F143FE8288433493E4769C4D988ACE5BE25A0E24809670716C613D7B0CEE6932F8FAA7C44D2CB24523DA53FBE4F6EC3595892D1AA58C4328A06C46A15662E7EAA703A1DECF8BBB2D05DBE2EB956C142A338661D10461C0D135472085057F3494309FFA73C611F78B32ADBB5740C361C9F35BE90997DB2014E2EF5AA61782F52ABEB8BD6432C4DD097BC5423B285DAFB60DC364E8161F4A2A35ACA3A10B1C4D203CC76A470A33AFDCBDD92959859ABD8B56E1725252D78EAC66E71BA9AE3F1DD2487199874393CD4D832186800654760E1E34C09E4D155179F9EC0DC4473F996BDCE6EED1CABED8B6F116F7AD9CF505DF0F998E34AB27514B0FFE7",
    "69C7548C21D0DFEA6B9A51C9EAD4E27C33D3B3F180316E5BCAB92C933F0E4DBC",
    "667098C654426C78D7F8201EAC6C203EF030D43605032C2F1FA937E5237DBD949F34A0A2564FE126DC8B715C5141802CE0979C8246463C40E6B6BDAA2513FA611728716C2E4FD53BC95B89E69949D96512E873B9C8F8DFD499CC312882561ADECB31F658E934C0C197F2C4D96B05CBAD67381E7B768891E4DA3843D24D94CDFB5126E9B8BF21E8358EE0E0A30EF13FD6A664C0DCE3731F7FB49A4845A4FD8254687972A2D382599C9BAC4E0ED7998193078913032558134976410B89D2C171D123AC35FD977219597AA7D15C1A9A428E59194F75C721EBCBCFAE44696A499AFA74E04299F132026601638CB87AB79190D4A0986315DA8EEC6561C938996BEADF",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn big(hex: &str) -> KeyParam {
    KeyParam::from_be_bytes(&bytes(hex))
}

fn small(value: u64) -> KeyParam {
    KeyParam::from_le_bytes(&value.to_le_bytes())
}

/// Runs an operation and gives its outputs, most significant byte first.
fn run(op: KeyOp, inputs: Vec<KeyParam>, room: u32) -> Result<Vec<Vec<u8>>, KeyDriverError> {
    let outputs = vec![KeyParam::room(room); op.params().1];
    let mut request = KeyRequest::new(op, inputs, outputs);
    assert_eq!(request.check(), Ok(()));
    compute_key(&mut request)?;
    let reversed = |param: &KeyParam| param.bytes().iter().rev().copied().collect();
    Ok(request.outputs.iter().map(reversed).collect())
}

fn run_small(op: KeyOp, inputs: &[u64]) -> Result<u64, KeyDriverError> {
    let results = run(op, inputs.iter().map(|&value| small(value)).collect(), 64)?;
    Ok(u64::from_be_bytes(
        results[0].as_slice().try_into().unwrap(),
    ))
}

fn digest_of(digest: Digest, text: &[u8]) -> KeyParam {
    let mut transform = Transform::new(&SessionParams {
        digest: Some(digest),
        ..SessionParams::of(Mode::Digest)
    })
    .unwrap();
    let mut out = vec![0; digest.len()];
    let slices = Slices {
        operation: Operation::ComputeDigest,
        iv: [0; 64],
        aad: &[],
        payload: &mut text.to_vec(),
        digest: &mut out,
        esn: [0; 4],
        cipher_key: None,
        auth_key: None,
    };
    transform.apply(slices).unwrap();
    KeyParam::from_le_bytes(&out)
}

#[test]
fn rsa_decrypts_a_published_ciphertext_with_the_whole_key_and_with_its_parts() {
    let [n, d, p, q, dp, dq, inverse, ciphertext, message] = RSA;
    let whole = [ciphertext, d, n].map(big).into();
    let parts = [p, q, ciphertext, dp, dq, inverse].map(big);
    let message = bytes(message);
    for result in [
        run(KeyOp::ModExp, whole, 2048).unwrap(),
        run(KeyOp::ModExpCrt, parts.into(), 2048).unwrap(),
    ] {
        assert_eq!(result[0][..2], [0, 2]);
        assert_eq!(result[0][256 - message.len() - 1], 0);
        assert_eq!(result[0][256 - message.len()..], message);
    }
}

#[test]
fn both_sides_of_a_published_exchange_find_the_same_secret() {
    let [p, g, x_a, x_b, y_b, z] = DH.map(big);
    let public = vec![g, x_a.clone(), p.clone()];
    let y_a = run(KeyOp::ModExp, public, 1024).unwrap().remove(0);
    let a = vec![x_a, y_b, p.clone()];
    let b = vec![x_b, KeyParam::from_be_bytes(&y_a), p];
    for inputs in [a, b] {
        let secret = run(KeyOp::DhComputeKey, inputs, 1024).unwrap();
        assert_eq!(KeyParam::from_be_bytes(&secret[0]), z);
    }
}

#[test]
fn dsa_signs_as_published_and_verifies_its_signatures_alone() {
    let cases = [
        (
            DSA_1024,
            Digest::Sha1,
            "2E1A0C2562B2912CAAF89186FB0F42001585DA55",
            "29EFB6B0AFF2D7A68EB70CA313022253B9A88DF5",
        ),
        (
            DSA_1024,
            Digest::Sha256,
            "81F2F5850BE5BC123C43F71A3033E9384611C545",
            "4CDD914B65EB6C66A8AAAD27299BEE6B035F5E89",
        ),
        (
            DSA_1024,
            Digest::Sha512,
            "16C3491F9B8C3FBBDD5E7A7B667057F0D8EE8E1B",
            "02C36A127A7B89EDBB72E4FFBC71DABC7D4FC69C",
        ),
        (
            DSA_2048,
            Digest::Sha1,
            "3A1B2DBD7489D6ED7E608FD036C83AF396E290DBD602408E8677DAABD6E7445A",
            "D26FCBA19FA3E3058FFC02CA1596CDBB6E0D20CB37B06054F7E36DED0CDBBCCF",
        ),
        (
            DSA_2048,
            Digest::Sha224,
            "DC9F4DEADA8D8FF588E98FED0AB690FFCE858DC8C79376450EB6B76C24537E2C",
            "A65A9C3BC7BABE286B195D5DA68616DA8D47FA0097F36DD19F517327DC848CEC",
        ),
        (
            DSA_2048,
            Digest::Sha384,
            "B2DA945E91858834FD9BF616EBAC151EDBC4B45D27D0DD4A7F6A22739F45C00B",
            "19048B63D9FD6BCA1D9BAE3664E1BCB97F7276C306130969F63F38FA8319021B",
        ),
    ];
    for (key, digest, r, s) in cases {
        let [p, q, g, x, y] = key.map(big);
        let z = digest_of(digest, b"sample");
        let group = vec![z.clone(), p, q, g];
        let sign = [group.clone(), vec![x]].concat();
        let signature = run(KeyOp::DsaSign, sign, big(key[1]).bits()).unwrap();
        assert_eq!(signature, [bytes(r), bytes(s)], "{digest:?}");
        let verify = [group, vec![y, big(r), big(s)]].concat();
        assert_eq!(run(KeyOp::DsaVerify, verify.clone(), 0), Ok(vec![]));
        for changed in [0, 4, 5, 6] {
            let mut wrong = verify.clone();
            let mut other = wrong[changed].bytes().to_vec();
            other[3] ^= 1;
            wrong[changed] = KeyParam::from_le_bytes(&other);
            let outcome = run(KeyOp::DsaVerify, wrong, 0);
            assert_eq!(outcome, Err(KeyDriverError::Mismatch), "input {changed}");
        }
    }
}

#[test]
fn a_signature_outside_its_group_is_wrong_and_a_key_outside_is_no_key() {
    let [p, q, g, x, y] = DSA_1024.map(big);
    let z = digest_of(Digest::Sha1, b"sample");
    for (r, s) in [
        (q.clone(), small(1)),
        (small(1), q.clone()),
        (small(0), small(1)),
    ] {
        let inputs = vec![z.clone(), p.clone(), q.clone(), g.clone(), y.clone(), r, s];
        assert_eq!(
            run(KeyOp::DsaVerify, inputs, 0),
            Err(KeyDriverError::Mismatch)
        );
    }
    for (g, x) in [(g.clone(), q.clone()), (g, small(0)), (small(0), x)] {
        let inputs = vec![z.clone(), p.clone(), q.clone(), g, x];
        assert_eq!(
            run(KeyOp::DsaSign, inputs, 160),
            Err(KeyDriverError::Undefined)
        );
    }
}

/// Every base, exponent and modulus below 12: odd, even, one and zero.
#[test]
fn small_numbers_agree_with_plain_arithmetic() {
    let power = |a: u64, e: u64, m: u64| (0..e).fold(1 % m, |power, _| power * a % m);
    for m in 1..12 {
        for a in 0..12 {
            assert_eq!(run_small(KeyOp::Mod, &[a, m]), Ok(a % m));
            assert_eq!(run_small(KeyOp::ModAddInv, &[a, m]), Ok((m - a % m) % m));
            let inverse = (1..m).find(|i| a * i % m == 1);
            let expected = inverse.ok_or(KeyDriverError::Undefined);
            assert_eq!(
                run_small(KeyOp::ModMultInv, &[a, m]),
                expected,
                "1/{a} mod {m}"
            );
            for b in 0..12 {
                assert_eq!(run_small(KeyOp::ModAdd, &[a, b, m]), Ok((a + b) % m));
                assert_eq!(
                    run_small(KeyOp::ModSub, &[a, b, m]),
                    Ok((a + 12 * m - b) % m)
                );
                assert_eq!(run_small(KeyOp::ModMult, &[a, b, m]), Ok(a * b % m));
                assert_eq!(run_small(KeyOp::ModExp, &[a, b, m]), Ok(power(a, b, m)));
                assert_eq!(
                    run_small(KeyOp::DhComputeKey, &[b, a, m]),
                    Ok(power(a, b, m))
                );
            }
        }
    }
}

#[test]
fn a_modulus_of_zero_has_no_result() {
    let undefined = Err(KeyDriverError::Undefined);
    for (op, inputs) in [
        (KeyOp::Mod, &[1, 0][..]),
        (KeyOp::ModExp, &[1, 1, 0]),
        (KeyOp::ModMultInv, &[1, 0]),
        (KeyOp::ModExpCrt, &[0, 3, 1, 1, 1, 1]),
        (KeyOp::DsaSign, &[1, 0, 3, 2, 1]),
    ] {
        let inputs = inputs.iter().map(|&value| small(value)).collect();
        assert_eq!(run(op, inputs, 64).map(drop), undefined, "{op:?}");
    }
}

#[test]
fn parts_of_a_key_of_any_size_agree_with_the_whole() {
    // p below q, p above q, and a base above both.
    for (p, q) in [(3_u64, 65_537_u64), (65_537, 3), (251, 241)] {
        let inverse = run_small(KeyOp::ModMultInv, &[q, p]).unwrap();
        for base in [0, 1, 2, 250, 65_536, 196_610] {
            let d = 7;
            let parts = [p, q, base, d % (p - 1), d % (q - 1), inverse];
            let whole = run_small(KeyOp::ModExp, &[base, d, p * q]);
            assert_eq!(run_small(KeyOp::ModExpCrt, &parts), whole, "{p} {q} {base}");
        }
    }
}

#[test]
fn a_result_that_does_not_fit_and_numbers_too_long_are_refused() {
    let inputs = || vec![small(200), small(255)];
    assert_eq!(run(KeyOp::Mod, inputs(), 7), Err(KeyDriverError::NoRoom));
    assert_eq!(run(KeyOp::Mod, inputs(), 8), Ok(vec![vec![200]]));
    let long = KeyParam::from_le_bytes(&[1; 2049]);
    assert_eq!(
        run(KeyOp::Mod, vec![long, small(3)], 8),
        Err(KeyDriverError::TooBig)
    );
    let empty = vec![KeyParam::room(0), small(3)];
    assert_eq!(run(KeyOp::Mod, empty, 8), Ok(vec![vec![0]]));
}
