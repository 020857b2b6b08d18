"""Who is drawn: the look of one person, drawn from a random generator, and CelebA's forty attributes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Name = TypeVar("Name", bound=str)
Rgb = NDArray[np.float64]
HairStyle = Literal["bald", "buzz", "short", "swept", "bob", "long", "curly", "bun"]
HairColour = Literal["black", "brown", "blond", "red", "gray"]
Beard = Literal["none", "stubble", "mustache", "goatee", "full"]
Eyewear = Literal["none", "glasses", "sunglasses"]
Clothes = Literal["round", "shirt", "jacket", "stripes", "turtleneck", "vneck"]

SKIN = np.array(
    [[250, 224, 205], [243, 207, 181], [232, 186, 151], [214, 160, 121], [186, 128, 90], [146, 96, 66], [104, 68, 50]]
)
"""From pale to deep, sRGB 0...255, in full light."""
HAIR: dict[HairColour, tuple[float, float, float]] = {
    "black": (44, 36, 34),
    "brown": (106, 70, 45),
    "blond": (218, 180, 116),
    "red": (168, 82, 42),
    "gray": (176, 174, 172),
}
IRIS = np.array([[92, 60, 36], [58, 38, 26], [96, 130, 160], [86, 124, 92], [120, 104, 60], [104, 116, 128]])
CLOTH = np.array(
    [[46, 62, 96], [150, 44, 50], [62, 104, 84], [222, 220, 212], [52, 52, 58], [206, 150, 66], [118, 90, 140],
     [90, 140, 176], [196, 116, 126], [230, 206, 150], [70, 76, 62], [34, 108, 118]]
)  # fmt: skip

ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open",
    "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
    "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
"""CelebA's attribute names in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """One person. Colours are sRGB 0...1, sizes relative to the usual one unless stated."""

    skin: Rgb
    lips: Rgb
    iris: Rgb
    hair: Rgb
    cloth: Rgb
    accent: Rgb
    hair_colour: HairColour
    hair_style: HairStyle
    bangs: bool
    parting: float
    waves: float
    beard: Beard
    eyewear: Eyewear
    hat: bool
    earrings: bool
    necklace: bool
    clothes: Clothes
    makeup: float
    jaw: float
    chin: float
    eye_size: float
    eye_open: float
    gaze: tuple[float, float]
    brow_thick: float
    brow_arch: float
    nose_width: float
    nose_length: float
    lip_full: float
    mouth_width: float
    smile: float
    mouth_open: float
    freckles: float
    age: float
    rosy: float

    def attributes(self, blurry: bool) -> list[int]:
        """CelebA's forty attributes, 1 or -1; matters of taste (Attractive, Male) are -1 for everyone."""
        hair = self.hair_style not in ("bald", "buzz") and not self.hat
        true = {
            "5_o_Clock_Shadow": self.beard == "stubble",
            "Arched_Eyebrows": self.brow_arch > 0.05,
            "Bags_Under_Eyes": self.age > 0.6,
            "Bald": self.hair_style == "bald" and not self.hat,
            "Bangs": self.bangs and hair,
            "Big_Lips": self.lip_full > 1.15,
            "Big_Nose": self.nose_width > 1.15,
            "Black_Hair": self.hair_colour == "black" and self.hair_style != "bald",
            "Blond_Hair": self.hair_colour == "blond" and self.hair_style != "bald",
            "Blurry": blurry,
            "Brown_Hair": self.hair_colour == "brown" and self.hair_style != "bald",
            "Bushy_Eyebrows": self.brow_thick > 1.25,
            "Chubby": self.jaw > 1.09,
            "Eyeglasses": self.eyewear != "none",
            "Goatee": self.beard == "goatee",
            "Gray_Hair": self.hair_colour == "gray" and self.hair_style != "bald",
            "Heavy_Makeup": self.makeup > 0.6,
            "Mouth_Slightly_Open": self.mouth_open > 0.15,
            "Mustache": self.beard in ("mustache", "goatee", "full"),
            "Narrow_Eyes": self.eye_open < 0.85,
            "No_Beard": self.beard == "none",
            "Oval_Face": self.jaw < 0.96,
            "Pale_Skin": bool(self.skin.mean() > 0.83),
            "Pointy_Nose": self.nose_width < 0.9,
            "Rosy_Cheeks": self.rosy > 0.7,
            "Sideburns": self.beard == "full",
            "Smiling": self.smile > 0.35,
            "Straight_Hair": hair and self.waves < 0.2 and self.hair_style != "curly",
            "Wavy_Hair": hair and (self.waves > 0.5 or self.hair_style == "curly"),
            "Wearing_Earrings": self.earrings,
            "Wearing_Hat": self.hat,
            "Wearing_Lipstick": self.makeup > 0.35,
            "Wearing_Necklace": self.necklace,
            "Wearing_Necktie": self.clothes == "jacket",
            "Young": self.age < 0.5,
        }
        return [1 if true.get(name, False) else -1 for name in ATTRIBUTES]


def draw_traits(rng: np.random.Generator) -> Traits:
    """One person at random; traits that go together (makeup and beard, age and gray hair) are drawn so."""
    age = float(rng.beta(1.4, 2.6))
    bearded = rng.random() < 0.42
    makeup = 0.0 if bearded else float(rng.choice([0.0, rng.uniform(0.2, 1.0)]))
    skin = _between(SKIN, float(rng.beta(1.1, 1.7))) * rng.normal(1, 0.015, 3) / 255
    dark = float(np.clip(1.15 - skin.mean(), 0, 1))
    colour = _hair_colour(rng, age, dark)
    smile = float(np.clip(rng.normal(0.45, 0.4), -0.25, 1))
    return Traits(
        skin=skin,
        lips=_lips(rng, skin, makeup),
        iris=IRIS[rng.choice(len(IRIS), p=_iris_chances(dark))] / 255 * rng.uniform(0.85, 1.15),
        hair=np.array(HAIR[colour]) / 255 * rng.uniform(0.75, 1.2) * rng.normal(1, 0.03, 3),
        cloth=CLOTH[rng.integers(len(CLOTH))] / 255 * rng.uniform(0.8, 1.1),
        accent=CLOTH[rng.integers(len(CLOTH))] / 255 * rng.uniform(0.8, 1.1),
        hair_colour=colour,
        hair_style=_hair_style(rng, bearded, age),
        bangs=bool(rng.random() < 0.28),
        parting=float(rng.uniform(-0.5, 0.5)),
        waves=float(rng.choice([0.0, 0.1, rng.uniform(0.3, 1.0)])),
        beard=_beard(rng) if bearded else "none",
        eyewear=_pick(rng, {"none": 0.79, "glasses": 0.16, "sunglasses": 0.05}),
        hat=bool(rng.random() < 0.07),
        earrings=bool(not bearded and rng.random() < 0.35),
        necklace=bool(not bearded and rng.random() < 0.25),
        clothes=_pick(
            rng, {"round": 0.24, "shirt": 0.22, "jacket": 0.18, "stripes": 0.12, "turtleneck": 0.1, "vneck": 0.14}
        ),
        makeup=makeup,
        jaw=float(rng.normal(1.04 if bearded else 1.0, 0.06)),
        chin=float(rng.normal(0, 0.05)),
        eye_size=float(rng.normal(1.0, 0.07)),
        eye_open=float(np.clip(rng.normal(1.0 - 0.12 * max(smile, 0), 0.12), 0.6, 1.35)),
        gaze=(float(rng.normal(0, 0.25)), float(rng.normal(0, 0.15))),
        brow_thick=float(np.clip(rng.normal(1.15 if bearded else 0.9, 0.22), 0.5, 1.7)),
        brow_arch=float(rng.normal(0.025, 0.03)),
        nose_width=float(np.clip(rng.normal(1.0 + 0.2 * dark, 0.12), 0.75, 1.4)),
        nose_length=float(rng.normal(1.0, 0.07)),
        lip_full=float(np.clip(rng.normal(0.95 + 0.2 * dark, 0.16), 0.55, 1.4)),
        mouth_width=float(rng.normal(1.0, 0.07)),
        smile=smile,
        mouth_open=float(rng.uniform(0.2, 1.0)) if rng.random() < 0.3 + 0.35 * max(smile, 0) else 0.0,
        freckles=float(rng.uniform(0.4, 1)) if rng.random() < 0.15 and dark < 0.5 else 0.0,
        age=age,
        rosy=float(rng.uniform(0, 0.8) + 0.2 * (makeup > 0.5)),
    )


def _hair_colour(rng: np.random.Generator, age: float, dark: float) -> HairColour:
    if rng.random() < max(0.0, (age - 0.4) * 1.4):
        return "gray"
    fair = 1 - dark
    return _pick(rng, {"black": 0.2 + dark, "brown": 0.55, "blond": 0.45 * fair, "red": 0.14 * fair})


def _hair_style(rng: np.random.Generator, bearded: bool, age: float) -> HairStyle:
    short: dict[HairStyle, float] = {
        "bald": 0.06 + 0.2 * age,
        "buzz": 0.14,
        "short": 0.4,
        "swept": 0.3,
        "curly": 0.12,
        "long": 0.06,
    }
    any_length: dict[HairStyle, float] = {
        "short": 0.08,
        "swept": 0.12,
        "bob": 0.24,
        "long": 0.36,
        "curly": 0.14,
        "bun": 0.16,
    }
    return _pick(rng, short if bearded else any_length)


def _beard(rng: np.random.Generator) -> Beard:
    return _pick(rng, {"none": 0.3, "stubble": 0.28, "mustache": 0.1, "goatee": 0.12, "full": 0.2})


def _lips(rng: np.random.Generator, skin: Rgb, makeup: float) -> Rgb:
    natural = skin * (0.86, 0.62, 0.62)
    lipstick = np.array([[178, 30, 46], [196, 70, 92], [150, 40, 70], [206, 96, 84]])[rng.integers(4)] / 255
    return natural + (lipstick - natural) * makeup * 0.85


def _iris_chances(dark: float) -> NDArray[np.float64]:
    light = max(0.05, 1 - 1.3 * dark)
    chances = np.array([0.9, 0.5 + dark, 0.7 * light, 0.4 * light, 0.4 * light, 0.4 * light])
    return chances / chances.sum()


def _pick(rng: np.random.Generator, weights: Mapping[Name, float]) -> Name:
    names, chances = list(weights), np.array(list(weights.values()))
    return names[int(rng.choice(len(names), p=chances / chances.sum()))]


def _between(stops_N3: NDArray[np.int_], place: float) -> Rgb:
    at = place * (len(stops_N3) - 1)
    return np.array([np.interp(at, np.arange(len(stops_N3)), stops_N3[:, channel]) for channel in range(3)])
