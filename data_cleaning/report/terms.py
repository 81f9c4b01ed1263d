"""The terms that the report counts: pronouns (paper A.4.3, whole) and identity descriptors by axis (Table 9b).

Table 9b uses the descriptors of HolisticBias, whose lists are CC-BY-SA and much longer. These are the 25 terms that the
table prints and others of the same kind, written for this report. As in the paper, "straight", "white" and "black" are
left out because they mostly mean something else, and each term is on one axis only. "polish" is left out for the same
reason. Terms are in the form of filters/words.py: normalised: lower case, a blank for a hyphen.
"""

SHE = ("she", "her", "hers", "herself")
HE = ("he", "him", "his", "himself")
UNSPECIFIED = ("they", "them", "their", "theirs", "theirself", "themself", "themselves")
GENDER_PRONOUNS = {"She": SHE, "He": HE, "Unspecified": UNSPECIFIED}
PERSONS = {
    "1st": ("i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves"),
    "2nd": ("you", "your", "yours", "yourself", "yourselves"),
    "3rd": (*SHE, *HE, *UNSPECIFIED, "it", "its", "itself"),
}
# In capitals these are a country and a trade, not pronouns; they are removed before text becomes lower case.
NO_PRONOUNS = r"\b(?:US|IT)\b"

DESCRIPTORS = {
    "Gender and sex": (
        "female", "male", "feminine", "transgender", "masculine", "agender", "androgynous", "bigender", "cisgender",
        "gender fluid", "gender neutral", "gender nonconforming", "genderfluid", "genderqueer", "intersex", "non binary",
        "nonbinary", "trans", "transsexual", "two spirit",
    ),
    "Sexual orientation": (
        "gay", "lesbian", "lgbt", "lgbtq", "queer", "asexual", "bisexual", "heterosexual", "homosexual", "lgbtqia",
        "pansexual", "same sex",
    ),
    "Nationality": (
        "american", "indian", "chinese", "korean", "mexican", "afghan", "albanian", "algerian", "argentine", "armenian",
        "australian", "austrian", "bangladeshi", "belgian", "bolivian", "brazilian", "british", "bulgarian", "cambodian",
        "canadian", "chilean", "colombian", "croatian", "cuban", "czech", "danish", "dominican", "dutch", "ecuadorian",
        "egyptian", "english", "estonian", "ethiopian", "filipino", "finnish", "french", "georgian", "german", "ghanaian",
        "greek", "guatemalan", "haitian", "honduran", "hungarian", "icelandic", "indonesian", "iranian", "iraqi", "irish",
        "israeli", "italian", "jamaican", "japanese", "jordanian", "kazakh", "kenyan", "kuwaiti", "laotian", "latvian",
        "lebanese", "libyan", "lithuanian", "malaysian", "moroccan", "nepali", "nicaraguan", "nigerian", "norwegian",
        "pakistani", "palestinian", "panamanian", "paraguayan", "peruvian", "portuguese", "romanian", "russian",
        "salvadoran", "saudi", "scottish", "senegalese", "serbian", "singaporean", "slovak", "slovenian", "somali",
        "spanish", "sri lankan", "sudanese", "swedish", "swiss", "syrian", "taiwanese", "thai", "tunisian", "turkish",
        "ugandan", "ukrainian", "uruguayan", "venezuelan", "vietnamese", "welsh", "yemeni", "zimbabwean",
    ),
    "Race and ethnicity": (
        "european", "african", "asian", "latin", "indigenous", "aboriginal", "african american", "arab", "berber",
        "biracial", "caribbean", "caucasian", "desi", "hispanic", "inuit", "kurdish", "latina", "latino", "latinx",
        "maori", "middle eastern", "mixed race", "multiracial", "native american", "pacific islander", "polynesian",
        "romani", "south asian", "southeast asian",
    ),
    "Religion": (
        "christian", "religious", "spiritual", "catholic", "jewish", "agnostic", "amish", "anglican", "atheist", "baptist",
        "buddhist", "confucian", "evangelical", "hindu", "islamic", "jain", "lutheran", "methodist", "mormon", "muslim",
        "orthodox", "pagan", "presbyterian", "protestant", "quaker", "rastafarian", "secular", "shia", "sikh", "sunni",
        "taoist", "unitarian", "wiccan", "zoroastrian",
    ),
}  # fmt: skip

# The paper's shares in percent (Tables 9a, 9b, 10): of all documents, those with a term of the group; of these, those
# with the part.
PAPER_PRONOUNS = {"gender": 75.23, "She": 28.45, "He": 50.73, "Unspecified": 86.38,
                  "person": 94.47, "1st": 70.71, "2nd": 61.80, "3rd": 93.07}  # fmt: skip
PAPER_AXES = {"Gender and sex": 5.91, "Sexual orientation": 6.67, "Nationality": 14.83, "Race and ethnicity": 19.51,
              "Religion": 7.93}  # fmt: skip
PAPER_TERMS = {
    "female": 50.0, "male": 39.1, "feminine": 5.4, "transgender": 4.2, "masculine": 3.1,
    "gay": 14.8, "lesbian": 4.3, "lgbt": 4.0, "lgbtq": 3.6, "queer": 3.5,
    "american": 69.4, "indian": 16.5, "chinese": 16.3, "korean": 5.1, "mexican": 4.9,
    "european": 20.7, "african": 11.5, "asian": 7.4, "latin": 6.2, "indigenous": 3.7,
    "christian": 33.2, "religious": 28.8, "spiritual": 20.6, "catholic": 15.4, "jewish": 13.0,
}  # fmt: skip
PAPER_LANGUAGES = {"en": 89.70, "unknown": 8.38, "de": 0.17, "fr": 0.16, "sv": 0.15, "zh": 0.13, "es": 0.13, "ru": 0.13,
                   "nl": 0.12, "it": 0.11, "ja": 0.10, "pl": 0.09, "pt": 0.09, "vi": 0.08, "uk": 0.07, "ko": 0.06,
                   "ca": 0.04, "sr": 0.04, "id": 0.03, "cs": 0.03, "fi": 0.03, "hu": 0.03, "no": 0.03, "ro": 0.03,
                   "bg": 0.02, "da": 0.02, "sl": 0.01, "hr": 0.01}  # fmt: skip
