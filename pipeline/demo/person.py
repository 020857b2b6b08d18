"""Who is drawn: the look of one person, drawn at random, and CelebA's forty attributes of it."""

import numpy as np

from pipeline.demo.canvas import Rng

# Colours in full light, sRGB 0...255; skin from pale to deep
SKIN = np.array(
    [[250, 224, 205], [243, 207, 181], [232, 186, 151], [214, 160, 121], [186, 128, 90], [146, 96, 66], [104, 68, 50]]
)
HAIR = {"black": (44, 36, 34), "brown": (106, 70, 45), "blond": (218, 180, 116), "red": (168, 82, 42),
        "gray": (176, 174, 172)}  # fmt: skip
IRIS = np.array([[92, 60, 36], [58, 38, 26], [96, 130, 160], [86, 124, 92], [120, 104, 60], [104, 116, 128]])
LIPSTICK = np.array([[178, 30, 46], [196, 70, 92], [150, 40, 70], [206, 96, 84]])
CLOTH = np.array(
    [[46, 62, 96], [150, 44, 50], [62, 104, 84], [222, 220, 212], [52, 52, 58], [206, 150, 66], [118, 90, 140],
     [90, 140, 176], [196, 116, 126], [230, 206, 150], [70, 76, 62], [34, 108, 118]]
)  # fmt: skip
SHORT_HAIR = {"buzz": 0.14, "short": 0.4, "swept": 0.3, "curly": 0.12, "long": 0.06}
HAIR_OF_ANY_LENGTH = {"short": 0.08, "swept": 0.12, "bob": 0.24, "long": 0.36, "curly": 0.14, "bun": 0.16}
CLOTHES = {"round": 0.24, "shirt": 0.22, "jacket": 0.18, "stripes": 0.12, "turtleneck": 0.1, "vneck": 0.14}
BEARDS = {"none": 0.3, "stubble": 0.28, "mustache": 0.1, "goatee": 0.12, "full": 0.2}

ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open",
    "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
    "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip
"""CelebA's attribute names in its order."""
ABOVE = {
    "Arched_Eyebrows": ("brow_arch", 0.05), "Bags_Under_Eyes": ("age", 0.6), "Big_Lips": ("lip_full", 1.15),
    "Big_Nose": ("nose_width", 1.15), "Bushy_Eyebrows": ("brow_thick", 1.25), "Chubby": ("jaw", 1.09),
    "Heavy_Makeup": ("makeup", 0.6), "Mouth_Slightly_Open": ("mouth_open", 0.15), "Rosy_Cheeks": ("rosy", 0.7),
    "Smiling": ("smile", 0.35), "Wearing_Earrings": ("earrings", 0), "Wearing_Hat": ("hat", 0),
    "Wearing_Lipstick": ("makeup", 0.35), "Wearing_Necklace": ("necklace", 0),
}  # fmt: skip
"""Attributes of a person whose trait is above a limit."""
BELOW = {"Narrow_Eyes": ("eye_open", 0.85), "Oval_Face": ("jaw", 0.96), "Pointy_Nose": ("nose_width", 0.9),
         "Young": ("age", 0.5)}  # fmt: skip
BEARD_ATTRIBUTES = {"none": {"No_Beard"}, "stubble": {"5_o_Clock_Shadow"}, "mustache": {"Mustache"},
                    "goatee": {"Goatee", "Mustache"}, "full": {"Mustache", "Sideburns"}}  # fmt: skip


class Person:
    """One person, drawn at random; traits that go together (makeup and beard, age and gray hair) are drawn so.

    Colours are sRGB 0...1, sizes relative to the usual one.
    """

    def __init__(self, rng: Rng) -> None:
        self.age = rng.beta(1.4, 2.6)
        bearded = rng.random() < 0.42
        self.makeup = 0.0 if bearded else float(rng.choice([0.0, rng.uniform(0.2, 1.0)]))
        tone = rng.beta(1.1, 1.7) * (len(SKIN) - 1)
        skin = np.array([np.interp(tone, np.arange(len(SKIN)), channel) for channel in SKIN.T])
        self.skin = skin * rng.normal(1, 0.015, 3) / 255
        dark = float(np.clip(1.15 - self.skin.mean(), 0, 1))
        fair = 1 - dark
        colours = {"black": 0.2 + dark, "brown": 0.55, "blond": 0.45 * fair, "red": 0.14 * fair}
        self.hair_colour = "gray" if rng.random() < (self.age - 0.4) * 1.4 else _pick(rng, colours)
        self.smile = float(np.clip(rng.normal(0.45, 0.4), -0.25, 1))
        natural = self.skin * (0.86, 0.62, 0.62)
        self.lips = natural + (LIPSTICK[rng.integers(4)] / 255 - natural) * self.makeup * 0.85
        light = max(0.05, 1 - 1.3 * dark)
        chances = np.array([0.9, 0.5 + dark, 0.7 * light, 0.4 * light, 0.4 * light, 0.4 * light])
        self.iris = IRIS[rng.choice(len(IRIS), p=chances / chances.sum())] / 255 * rng.uniform(0.85, 1.15)
        self.hair = np.array(HAIR[self.hair_colour]) / 255 * rng.uniform(0.75, 1.2) * rng.normal(1, 0.03, 3)
        self.cloth = CLOTH[rng.integers(len(CLOTH))] / 255 * rng.uniform(0.8, 1.1)
        self.accent = CLOTH[rng.integers(len(CLOTH))] / 255 * rng.uniform(0.8, 1.1)
        short = {"bald": 0.06 + 0.2 * self.age, **SHORT_HAIR}
        self.hair_style = _pick(rng, short if bearded else HAIR_OF_ANY_LENGTH)
        self.bangs = rng.random() < 0.28
        self.parting = rng.uniform(-0.5, 0.5)
        self.waves = float(rng.choice([0.0, 0.1, rng.uniform(0.3, 1.0)]))
        self.beard = _pick(rng, BEARDS) if bearded else "none"
        self.eyewear = _pick(rng, {"none": 0.79, "glasses": 0.16, "sunglasses": 0.05})
        self.hat = rng.random() < 0.07
        self.earrings = not bearded and rng.random() < 0.35
        self.necklace = not bearded and rng.random() < 0.25
        self.clothes = _pick(rng, CLOTHES)
        self.jaw = rng.normal(1.04 if bearded else 1.0, 0.06)
        self.chin = rng.normal(0, 0.05)  # longer by, in half head widths
        self.eye_size = rng.normal(1.0, 0.07)
        self.eye_open = float(np.clip(rng.normal(1.0 - 0.12 * max(self.smile, 0), 0.12), 0.6, 1.35))
        self.gaze = rng.normal(0, 0.25), rng.normal(0, 0.15)  # 0: at the camera
        self.brow_thick = float(np.clip(rng.normal(1.15 if bearded else 0.9, 0.22), 0.5, 1.7))
        self.brow_arch = rng.normal(0.025, 0.03)
        self.nose_width = float(np.clip(rng.normal(1.0 + 0.2 * dark, 0.12), 0.75, 1.4))
        self.nose_length = rng.normal(1.0, 0.07)
        self.lip_full = float(np.clip(rng.normal(0.95 + 0.2 * dark, 0.16), 0.55, 1.4))
        self.mouth_width = rng.normal(1.0, 0.07)
        self.mouth_open = rng.uniform(0.2, 1.0) if rng.random() < 0.3 + 0.35 * max(self.smile, 0) else 0.0
        self.freckles = rng.uniform(0.4, 1) if rng.random() < 0.15 and dark < 0.5 else 0.0
        self.rosy = rng.uniform(0, 0.8) + 0.2 * (self.makeup > 0.5)

    def attributes(self, blurry: bool) -> list[int]:
        """CelebA's forty attributes, 1 or -1; matters of taste (Attractive, Male) are -1 for everyone."""
        true = {name for name, (trait, limit) in ABOVE.items() if getattr(self, trait) > limit}
        true |= {name for name, (trait, limit) in BELOW.items() if getattr(self, trait) < limit}
        true |= BEARD_ATTRIBUTES[self.beard]
        hair, curly = self.hair_style not in ("bald", "buzz") and not self.hat, self.hair_style == "curly"
        others = {
            "Bald": self.hair_style == "bald" and not self.hat,
            "Bangs": self.bangs and hair,
            f"{self.hair_colour.title()}_Hair": self.hair_style != "bald",
            "Blurry": blurry,
            "Eyeglasses": self.eyewear != "none",
            "Pale_Skin": self.skin.mean() > 0.83,
            "Straight_Hair": hair and self.waves < 0.2 and not curly,
            "Wavy_Hair": hair and (self.waves > 0.5 or curly),
            "Wearing_Necktie": self.clothes == "jacket",
        }
        return [1 if name in true or others.get(name, False) else -1 for name in ATTRIBUTES]


def _pick(rng: Rng, weights: dict[str, float]) -> str:
    chances = np.array(list(weights.values()))
    return list(weights)[rng.choice(len(weights), p=chances / chances.sum())]
