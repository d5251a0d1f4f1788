"""Unicode 16.0's general categories and lower case, and the characters that parts of tokenizers do not know yet.

Source: the Unicode Character Database 16.0, read by trying the regular expressions and the normalizers of Hugging Face
tokenizers 0.23 on every code point. The version is fixed because Python's `unicodedata` changes with each version: so
the same tokenizer gives the same ids and the same C under every Python. Parts of tokenizers are older than Unicode
16.0: to them, the characters of the LATER lists are not assigned.
"""

from __future__ import annotations

from collections.abc import Iterator

Runs = tuple[tuple[int, int], ...]
"""The first and last code point of each run, ascending."""

LAST_CODE = 0x10FFFF

# One letter for each category.
_LETTERS = {
    "U": "Lu",
    "L": "Ll",
    "T": "Lt",
    "m": "Lm",
    "C": "Lo",
    "M": "Mn",
    "c": "Mc",
    "e": "Me",
    "N": "Nd",
    "n": "Nl",
    "o": "No",
    "p": "Pc",
    "d": "Pd",
    "s": "Ps",
    "E": "Pe",
    "i": "Pi",
    "f": "Pf",
    "P": "Po",
    "+": "Sm",
    "$": "Sc",
    "k": "Sk",
    "S": "So",
    "Z": "Zs",
    "l": "Zl",
    "z": "Zp",
    "x": "Cc",
    "F": "Cf",
    "u": "Cs",
    "v": "Co",
    "-": "Cn",
}

# Runs from U+0000 on: a letter, then the length of the run in hexadecimal if it is more than one. "7*U,L" is "U L"
# seven times.
_CATEGORIES = (
    "x20 Z P3 $ P3 s E P + P d P2 Na P2 +3 P2 U1a s P E k p k L1a s + E + x21 Z P $4 S P k S C i + F S k S + o2 k L "
    "P2 k o C f o3 P U17 + U7 L18 + L8 27*U,L U L2 7*U,L U L2 23*U,L U2 L U L U L3 U2 L U L U2 L U3 L2 U4 L U2 L U3 "
    "L3 U2 L U2 L U L U L U2 L U L2 U L U2 L U3 L U L U2 L2 C U L3 C4 U T L U T L U T 8*L,U L2 8*U,L U L2 U T L U L "
    "U3 29*L,U L7 U2 L U2 L2 U L U4 4*L,U L45 C L1b m12 k4 mc ke m5 k7 m k m k11 M70 U L U L m k U L -2 m L3 P U -4 "
    "k2 U P U3 - U - U2 L U11 - U9 L23 U L2 U3 L3 11*U,L U L5 U L + U L U2 L2 U33 L30 17*U,L S M5 e2 27*U,L U2 6*L,U "
    "L2 48*U,L - U26 -2 m P6 L29 P d -2 S2 $ - M2d d M P M2 P M2 P M -8 C1b -4 C4 P2 -b F6 +3 P2 $ P2 S2 Mb P F P3 "
    "C20 m Ca M15 Na P4 C2 M C63 P C M7 F S M6 m2 M2 S M4 C2 Na C3 S2 C Pe - F C M C1e M1b -2 C59 Mb C -e Na C21 M9 "
    "m2 S P3 m -2 M $2 C16 M4 m M9 m M3 m M5 -2 Pf - C19 M3 -2 P - Cb -5 C18 k C6 - F2 -5 M9 C29 m M18 F M20 c C36 M "
    "c M C c3 M8 c4 M c2 C M7 Ca M2 P2 Na P m Cf M c2 - C8 -2 C2 -2 C16 - C7 - C -3 C4 -2 M C c3 M4 -2 c2 -2 c2 M C "
    "-8 c -4 C2 - C3 M2 -2 Na C2 $2 o6 S $ C P M -2 M2 c - C6 -4 C2 -2 C16 - C7 3*-,C2 -2 M - c3 M2 -4 M2 -2 M3 -3 M "
    "-7 C4 - C -7 Na M2 C3 M P -a M2 c - C9 - C3 - C16 - C7 - C2 - C5 -2 M C c3 M5 - M2 c - c2 M -2 C -f C2 M2 -2 Na "
    "P $ -7 C M6 - M c2 - C8 -2 C2 -2 C16 - C7 - C2 - C5 -2 M C c M c M4 -2 c2 -2 c2 M -7 M2 c -4 C2 - C3 M2 -2 Na S "
    "C o6 -a M C - C6 -3 C3 - C4 -3 C2 - C - C2 -3 C2 -3 C3 -3 Cc -4 c2 M c2 -3 c3 - c3 M -2 C -6 c -e Na o3 S6 $ S "
    "-5 M c3 M C8 - C3 - C17 - C10 -2 M C M3 c4 - M3 - M4 -7 M2 - C3 -2 C -2 C2 M2 -2 Na -7 P o7 S C M c2 P C8 - C3 - "
    "C17 - Ca - C5 -2 M C c M c5 - M c2 - c2 M2 -7 c2 -6 C2 - C2 M2 -2 Na - C2 c -c M2 c2 C9 - C3 - C29 M2 C c3 M4 - "
    "c3 - c3 M C S -4 C3 c o7 C3 M2 -2 Na o9 S C6 - M c2 - C12 -3 C18 - C9 - C -2 C7 -3 M -4 c3 M3 - M - c8 -6 Na -2 "
    "c2 P -c C30 M C2 M7 -4 $ C6 m M8 P Na P2 -25 C2 - C - C5 - C18 - C - Ca M C2 M9 C -2 C5 - m - M7 - Na -2 C4 -20 "
    "C S3 Pf S P S3 M2 S6 Na oa 3*S,M s E s E c2 C8 - C24 -4 Me c M5 P M2 C5 Mb - M24 - S8 M S6 - S2 P5 S4 P2 -25 C2b "
    "c2 M4 c M6 c M2 c2 M2 C Na P6 C6 c2 M2 C4 M3 C c3 C2 c7 C3 M4 Cd M c2 M2 c6 M C c Na c3 M S2 U26 - U -5 U -2 L2b "
    "P m L3 C149 - C4 -2 C7 - C - C4 -2 C29 - C4 -2 C21 - C4 -2 C7 - C - C4 -2 Cf - C39 - C4 -2 C43 -2 M3 P9 o14 -3 "
    "C10 Sa -6 U56 -2 L6 -2 d C26c S P C11 Z C1a s E -3 C4b P3 n3 C8 -7 C12 M3 c -9 C13 M2 c P2 -9 C12 M2 -c Cd - C3 "
    "- M2 -c C34 M2 c M7 c8 M c2 Mb P3 m P3 $ C M -2 Na -6 oa -6 P6 d P4 M3 F M Na -6 C23 m C35 -7 C5 M2 C22 M C -5 "
    "C46 -a C1f - M3 c4 M2 c3 -4 c2 M c6 M3 -4 S -3 P2 Na C1e -2 C5 -b C2c -4 C1a -6 Na o -3 S22 C17 M2 c2 M -2 P2 "
    "C35 c M c M7 - M c M c2 M8 c6 Ma -2 M Na -6 Na -6 P7 m P6 -2 Me e M10 -31 M4 c C2f M c M5 c M c5 M c2 C8 - P2 Na "
    "P7 Sa M9 S9 P3 M2 c C1e c M4 c2 M2 c M3 C2 Na C2c M c M2 c3 M c M3 c2 -8 P4 C24 c8 M8 c2 M2 -3 P5 Na -3 C3 Na "
    "C1e m6 P2 L9 U L -5 U2b -2 U3 P8 -8 M3 P Md c M7 C4 M C6 M C2 c M2 C -5 L2c m3f Ld m L22 m25 M40 74*U,L U L9 "
    "48*U,L U L9 U8 L6 -2 U6 -2 L8 U8 L8 U8 L6 -2 U6 -2 L8 4*-,U L8 U8 Le -2 3*L8,T8 L5 - L2 U4 T k L k3 L3 - L2 U4 T "
    "k3 L4 -2 L2 U4 - k3 L8 U5 k3 -2 L3 - L2 U4 T k2 - Zb F5 d6 P2 i f s i2 f s i P8 l z F5 Z P9 i f P4 p2 P3 + s E "
    "Pb + P p Pa Z F5 - Fa o m -2 o6 +3 s E m oa +3 s E - md -3 $21 -f Md e4 M e3 Mc -f S2 U S4 U S2 L U3 L2 U3 L S U "
    "S2 + U5 S6 3*U,S U4 S L U4 L C4 L S2 L2 U2 +5 U L4 S + S2 L S o10 n23 U L n4 o S2 -4 +5 S5 +2 S4 + S2 + S2 + S7 "
    "+ S1f +2 S2 + S + S1f +10c S8 s E s E S14 +2 S7 s E S51 + S1e +19 S28 +6 S48 -16 Sb -15 o3c S4e o16 Sb7 + S9 + "
    "S36 +8 S6f + Sf8 7*s,E o1e S2c +5 s E +1f 5*s,E +10 S100 +83 11*s,E +3f s E s E +20 s E +102 S30 +15 S2 +6 S27 "
    "-2 S20 - S69 U30 L30 U L U3 L2 3*U,L U4 L U L2 U L6 m2 U3 49*L,U L2 S6 U L U L M3 U L -5 P4 o P2 L26 - L -5 L -2 "
    "C38 -7 m P -e M C17 -9 8*C7,- M20 P2 i f i f P3 i f P i f P9 d P2 d P i f P2 i f 4*s,E P5 m Pa d2 P4 d P s Pd S2 "
    "P3 4*s,E d -22 S1a - S59 -c Sd6 -1a S10 Z P3 S m C n 5*s,E S2 4*s,E d s E2 S n9 M4 c2 d m5 S2 n3 m C P S2 - C56 "
    "-2 M2 k2 m2 C d C5a P m3 C -5 C2b - C5e - S2 o4 Sa C20 S26 -9 S C10 S1f - oa S1e o8 S of S20 oa S27 of S140 "
    "C19c0 S40 C5215 m C477 -3 S37 -9 C28 m6 P2 C10c m P3 C10 Na C2 -14 23*U,L C M e3 P Ma P m 14*U,L m2 M2 C46 na M2 "
    "P6 -8 k17 m9 k2 6*U,L U L3 31*U,L m L8 U L U L U2 4*L,U L m k2 U L U L C U L U L3 10*U,L U5 L U5 7*L,U L U4 L U "
    "L U2 L -2 U L - L - 4*L,U -15 m3 U L C m2 L C7 M C3 M C4 M C17 c2 M2 c S4 M -3 o6 S2 $ S -6 C34 P4 -8 c2 C32 c10 "
    "M2 -8 P2 Na -6 M12 C6 P3 C P C2 M Na C1c M8 P2 C17 Mb c2 -b P C1d -3 M3 c C2f M c2 M4 c2 M2 c3 Pd - m Na -4 P2 "
    "C5 M m C9 Na C5 - C29 M6 c2 M2 c2 M2 -9 C3 M C8 M c -2 Na -2 P4 C10 m C6 S3 C c M c C32 M C M3 C2 M2 C5 M2 C M C "
    "-18 C2 m P2 Cb c M2 c2 P2 C m2 c M -a C6 -2 C6 -2 C6 -9 C7 - C7 - L2b k m4 L9 m k2 -4 L50 C23 c2 M c2 M c2 P c M "
    "-2 Na -6 C2ba4 -c C17 -4 C31 -4 u800 v1900 C16e -2 C6a -26 L7 -c L5 -5 C M Ca + Cd - C5 - C - C2 - C2 - C6c k11 "
    "-10 C16b E s S10 C40 -2 C36 -7 S -20 Cc $ S3 M10 P7 s E P -6 M10 P d2 p2 8*s,E P2 s E P4 p3 P3 - P4 d 3*s,E P3 + "
    "d +3 - P $ P2 -4 C5 - C87 -2 F - P3 $ P3 s E P + P d P2 Na P2 +3 P2 U1a s P E k p k L1a s + E + s E P s E P2 Ca "
    "m C2d m2 C1f -3 3*C6,-2 C3 -3 $2 + k S $2 - S +4 S2 -a F3 S2 -2 Cc - C1a - C13 - C2 - Cf -2 Ce -22 C7b -5 P3 -4 "
    "o2d -3 S9 n35 o4 S11 o2 S3 - Sd -3 S -2f S2d M -82 C1d -3 C31 -f M o1b -4 C20 o4 -9 C14 n C8 n -5 C26 M5 -5 C1e "
    "- P C24 -4 C8 P n5 -2a U28 L28 C4e -2 Na -6 U24 -4 L24 -4 C28 -8 C34 -b P Ub - Uf - U7 - U2 - Lb - Lf - L7 - L2 "
    "-3 C34 -c C137 -9 C16 -a C8 -18 m6 - m2a - m9 -45 C6 -2 C - C2c - C2 -3 C -2 C17 - P o8 C17 S2 o7 C1f -8 o9 -30 "
    "C13 - C2 -5 o5 C16 o6 -3 P C1a -5 P -40 C38 -4 o2 C2 o10 -2 o2e C M3 - M2 -5 M4 C4 - C3 - C1d -2 M3 -4 M o9 -7 "
    "P9 -7 C1d o2 P C1d o3 -20 C8 S C1c M2 -4 o5 P7 -9 C36 -3 P7 C16 -2 o8 C13 -5 o8 C12 -7 P4 -c o7 -50 C49 -37 U33 "
    "-d L33 -7 o6 C24 M4 -8 Na -6 Na C4 m C U16 -3 M5 d m L16 -8 +2 -d0 o1f - C2a - M2 d -2 C2 -10 C3 -37 M4 C1d oa C "
    "-8 C16 Mb o4 P5 -16 C12 M4 P4 -26 C15 o7 -14 C17 -9 c M c C35 Mf P7 -4 o14 Na M C2 M2 C -9 M3 c C2d c3 M4 c2 M2 "
    "P2 F P4 M -a F -2 C19 -7 Na -6 M3 C24 M5 c M8 - Na P4 C c2 C -8 C23 M P2 C -9 M2 c C30 c3 M9 c2 C4 P4 M4 P c M "
    "Na C P C P3 - o14 -b C12 - C19 c3 M3 c2 M c M2 P6 M C2 M -3e C7 - C - C4 - Cf - Ca P -6 C2f M c3 M8 -5 Na -6 M2 "
    "c2 - C8 -2 C2 -2 C16 - C7 - C2 - C5 - M2 C c2 M c4 -2 c2 -2 c3 -2 C -6 c -5 C5 c2 -2 M7 -3 M5 -b Ca - C -2 C - "
    "C26 - C c3 M6 - c -2 c - c4 - c2 M c M C M C P2 - P2 -8 M2 -1d C35 c3 M8 c2 M3 c M C4 P5 Na P2 - P M C3 -1e C30 "
    "c3 M6 c M c4 M2 c M2 C2 P C -8 Na -a6 C2f c3 M4 -2 c4 M2 c M2 P17 C4 M2 -22 C30 c3 M8 c2 M c M2 P3 C -b Na -6 Pd "
    "-13 C2b M c M c2 M6 c M C P -6 Na -6 N14 -1c C1b -2 M c M c2 M4 c M5 -4 Na o2 P3 S C7 -b9 C2c c3 M9 c M2 P -64 "
    "U20 L20 Na o9 -c C8 -2 C -2 C8 - C2 - C18 c6 - c2 -2 M2 c M C c C c M P3 -9 Na -46 C8 -2 C27 c3 M4 -2 M2 c4 M C "
    "P C c -1b C Ma C28 M6 c C M4 P8 M -8 C M6 c2 M3 C2e Md c M2 P3 C P5 -d C49 -7 Pa -b6 C21 P -e Na -6 C9 - C25 c "
    "M7 - M6 c M C P5 -a Na o13 -3 P2 C1e -2 M16 - c M7 c M2 c M2 -49 C7 - C2 - C26 M6 -3 M - M2 - M7 C M -8 Na -6 C6 "
    "- C2 - C20 c5 - M2 - c2 M c M C -7 Na -136 C13 M2 c2 P2 -7 M2 C c Cd - C22 c2 M5 -3 c2 M c M Pd Na M -55 C -f "
    "o15 S8 $4 S11 -d P C39a -66 n6f - P5 -b Cc4 -a4c C61 P2 -d C430 F10 M C6 Mf -a Cf9b -5 C247 -1ab9 C1e Mc c3 M3 "
    "Na -6c6 C239 -7 C1f - Na -4 P2 C4f - Na -6 C1e -2 M5 P -a C30 M7 P5 S4 m4 P S -a Na - o7 - C15 -5 C13 -1b0 m3 "
    "C28 m2 P3 Na -c6 U20 L20 o17 P4 -65 C4b -4 M C c37 -7 M4 md -40 m2 P m M -b c2 -e C17f8 -8 C4d6 -29 Ca -22e7 m4 "
    "- m7 - m2 - C123 -f C -1d C3 -2 C -e C4 -8 C18c -904 C6b -5 Cd -3 C9 -7 Ca -2 S M2 P F4 -f5c Sf0 Na -6 S1b4 -4c "
    "M2e -2 M17 -9 S74 -3c Sf6 -a S27 -2 S3c c2 M3 S3 c6 F8 M8 S2 M7 S1e M4 S3d -15 S42 M3 S -7a o14 -c o14 -c S57 -9 "
    "o19 -87 U1a L1a U1a L7 - L12 U1a L1a U - U2 -2 U -2 U2 -2 U4 - U8 L4 - L - L7 - Lb U1a L1a U2 - U4 -2 U8 - U7 - "
    "L1a U2 - U4 - U5 - U -3 U7 - 6*L1a,U1a L1c -2 U19 + L19 + L6 U19 + L19 + L6 U19 + L19 + L6 U19 + L19 + L6 U19 + "
    "L19 + L6 U L -2 N32 S200 M37 S4 M32 S8 M Se M S2 P5 -f M5 - Mf -450 La C L14 -6 L6 -d5 M7 - M11 -2 M7 - M2 - M5 "
    "-5 m3e -21 M -70 C2d -3 M7 m7 -2 Na -4 C S -140 C1e M -11 C2c M4 Na -5 $ -1d0 C1b m M4 Na -d6 C1e M2 C Na -4 P "
    "-1e0 C7 - C4 - C2 - Cf - Cc5 -2 o9 M7 -29 U22 L22 M7 m -4 Na -4 P2 -311 o3b S o3 $ o4 -4c o2d S of -c2 C4 - C1b "
    "- C2 - C -2 C - Ca - C4 - C - C -6 C -4 3*C,- C3 - C2 - C -2 5*C,- C2 - C -2 C4 - C7 - C4 - C4 - C - Ca - C11 -5 "
    "C3 - C5 - C11 -34 +2 -10e S2c -4 S64 -c Sf -2 Sf - Sf - S25 -a od Sa1 -38 S1d -d S2c -4 S9 -7 S2 -e S6 -9a Sfb "
    "k5 S2d8 -4 S11 -3 Sd -3 S77 -4 S5f -6 Sc -4 S -f Sc -4 S38 -8 Sa -6 S28 -8 S1e -2 Sc -4 S2 -3e S154 -c Se -2 Sd "
    "-3 Sa -5 S38 -7 Sf -2 Sb -6 S9 -7 S93 - S5c Na -406 Ca6e0 -20 C103a -6 Cde -2 C1682 -e C1d31 -f C26e -9a2 C21e "
    "-5e2 C134b -5 C1060 -adc51 F -1e F60 -80 Mf0 -fe10 vfffe -2 vfffe -2"
)

# Runs of upper case: first and last code point in hexadecimal, "/2" for every other one, and the distance to the lower
# case.
_LOWER_CASE = (
    "41-5a:+32 c0-d6:+32 d8-de:+32 100-12e/2:+1 132-136/2:+1 139-147/2:+1 14a-176/2:+1 178:-121 179-17d/2:+1 181:+210 "
    "182-184/2:+1 186:+206 187:+1 189-18a:+205 18b:+1 18e:+79 18f:+202 190:+203 191:+1 193:+205 194:+207 196:+211 "
    "197:+209 198:+1 19c:+211 19d:+213 19f:+214 1a0-1a4/2:+1 1a6:+218 1a7:+1 1a9:+218 1ac:+1 1ae:+218 1af:+1 "
    "1b1-1b2:+217 1b3-1b5/2:+1 1b7:+219 1b8:+1 1bc:+1 1c4:+2 1c5:+1 1c7:+2 1c8:+1 1ca:+2 1cb-1db/2:+1 1de-1ee/2:+1 "
    "1f1:+2 1f2-1f4/2:+1 1f6:-97 1f7:-56 1f8-21e/2:+1 220:-130 222-232/2:+1 23a:+10795 23b:+1 23d:-163 23e:+10792 "
    "241:+1 243:-195 244:+69 245:+71 246-24e/2:+1 370-372/2:+1 376:+1 37f:+116 386:+38 388-38a:+37 38c:+64 "
    "38e-38f:+63 391-3a1:+32 3a3-3ab:+32 3cf:+8 3d8-3ee/2:+1 3f4:-60 3f7:+1 3f9:-7 3fa:+1 3fd-3ff:-130 400-40f:+80 "
    "410-42f:+32 460-480/2:+1 48a-4be/2:+1 4c0:+15 4c1-4cd/2:+1 4d0-52e/2:+1 531-556:+48 10a0-10c5:+7264 10c7:+7264 "
    "10cd:+7264 13a0-13ef:+38864 13f0-13f5:+8 1c89:+1 1c90-1cba:-3008 1cbd-1cbf:-3008 1e00-1e94/2:+1 1e9e:-7615 "
    "1ea0-1efe/2:+1 1f08-1f0f:-8 1f18-1f1d:-8 1f28-1f2f:-8 1f38-1f3f:-8 1f48-1f4d:-8 1f59-1f5f/2:-8 1f68-1f6f:-8 "
    "1f88-1f8f:-8 1f98-1f9f:-8 1fa8-1faf:-8 1fb8-1fb9:-8 1fba-1fbb:-74 1fbc:-9 1fc8-1fcb:-86 1fcc:-9 1fd8-1fd9:-8 "
    "1fda-1fdb:-100 1fe8-1fe9:-8 1fea-1feb:-112 1fec:-7 1ff8-1ff9:-128 1ffa-1ffb:-126 1ffc:-9 2126:-7517 212a:-8383 "
    "212b:-8262 2132:+28 2160-216f:+16 2183:+1 24b6-24cf:+26 2c00-2c2f:+48 2c60:+1 2c62:-10743 2c63:-3814 2c64:-10727 "
    "2c67-2c6b/2:+1 2c6d:-10780 2c6e:-10749 2c6f:-10783 2c70:-10782 2c72:+1 2c75:+1 2c7e-2c7f:-10815 2c80-2ce2/2:+1 "
    "2ceb-2ced/2:+1 2cf2:+1 a640-a66c/2:+1 a680-a69a/2:+1 a722-a72e/2:+1 a732-a76e/2:+1 a779-a77b/2:+1 a77d:-35332 "
    "a77e-a786/2:+1 a78b:+1 a78d:-42280 a790-a792/2:+1 a796-a7a8/2:+1 a7aa:-42308 a7ab:-42319 a7ac:-42315 a7ad:-42305 "
    "a7ae:-42308 a7b0:-42258 a7b1:-42282 a7b2:-42261 a7b3:+928 a7b4-a7c2/2:+1 a7c4:-48 a7c5:-42307 a7c6:-35384 "
    "a7c7-a7c9/2:+1 a7cb:-42343 a7cc-a7da/2:+1 a7dc:-42561 a7f5:+1 ff21-ff3a:+32 10400-10427:+40 104b0-104d3:+40 "
    "10570-1057a:+39 1057c-1058a:+39 1058c-10592:+39 10594-10595:+39 10c80-10cb2:+64 10d50-10d65:+32 118a0-118bf:+32 "
    "16e40-16e5f:+32 16ea0-16eb8:+27 1e900-1e921:+34"
)

# First and last code point of each run, in hexadecimal.
_LATER_FORMS = (
    "7fd 897-8d3 9fe afa-aff b55 c04-c3c cf3-d00 d3b-d3c d81 eba ece 1715 180f 1abf-1ace 1c89-1c8a 1cf7 1df6-1dfa "
    "2427-2429 2ffc-2fff 31e4-31ef 32ff a7cb-a7f4 a82c a8ff ab69 105c0-107ba 10d24-10f85 11070-11074 110c2 "
    "11145-11146 111c9 111ce-111cf 1123f-11241 1133b 11380-113e2 1145e 116d0-116e3 1182c-11bf9 11d31-16139 "
    "16d40-16f4f 16f7f-16f87 16fe4-1b155 1cc00-1cf46 1d2c0-1d2d3 1df25-1df2a 1e030-1e5fa 1f16c 1f6dc-2ee5d "
    "31350-323af"
)
_LATER_PUNCTUATION = (
    "61d 9fd-a76 c77-c84 1b4e-1b4f 1b7d-1b7f 2e43-2e5d 10d6e-10f89 113d4-1145d 11660-116b9 1183b-11fff 12ff1-12ff2 "
    "16d6d-16fe2 1e5ff-1e95f"
)
_LATER_NON_SPACING = (
    "7fd 897-8e1 9fe afa-aff b55 c04-c3c d00 d3b-d3c d81 eba ece 180f-1886 1abf-1ace 1df6-1dfb a82c a8c5 a8ff a9bd "
    "10d24-10f85 11070-11074 110c2 111c9 111cf 1123e-11241 1133b 113bb-1145e 1182f-1612f 16f4f 16fe4 1cf00-1cf46 "
    "1e000-1e5ef 1e944-1e94a"
)
_LATER_FORMAT = "890-8e2 110cd-1343f"


def _category_runs() -> dict[str, Runs]:
    found: dict[str, list[tuple[int, int]]] = {name: [] for name in _LETTERS.values()}
    start = 0
    for item in _CATEGORIES.split():
        times, _, repeated = item.rpartition("*")
        for run in repeated.split(",") * int(times or "1"):
            end = start + int(run[1:] or "1", 16)
            found[_LETTERS[run[0]]].append((start, end - 1))
            start = end
    return {name: tuple(runs) for name, runs in found.items()}


def _read(text: str) -> Runs:
    pairs = (item.partition("-") for item in text.split())
    return tuple((int(first, 16), int(last or first, 16)) for first, _, last in pairs)


def _read_lower_case() -> Iterator[tuple[int, int, int, int]]:
    for item in _LOWER_CASE.split():
        codes, _, distance = item.partition(":")
        codes, _, step = codes.partition("/")
        first, _, last = codes.partition("-")
        yield int(first, 16), int(last or first, 16), int(step or "1"), int(distance)


CATEGORIES = _category_runs()
"""The runs of each general category, including surrogates (Cs) and unassigned code points (Cn)."""

LOWER_CASE = tuple(_read_lower_case())
"""(first, last, step, distance): these characters become lower case by adding `distance`. U+0130 becomes i, U+0307."""

LATER_FORMS = _read(_LATER_FORMS)
"""The characters that the normal forms and StripAccents do not know. The list holds no other mark and no other
character with a decomposition."""
LATER_PUNCTUATION = _read(_LATER_PUNCTUATION)
"""The characters of category P that Punctuation and BertPreTokenizer do not know. These runs and those of the two lists
below cover characters of other categories too."""
LATER_NON_SPACING = _read(_LATER_NON_SPACING)
"""The marks of category Mn that BertNormalizer does not know."""
LATER_FORMAT = _read(_LATER_FORMAT)
"""The characters of category Cf that BertNormalizer does not know."""
