"""Words that announce a telephone number, and the countries whose numbers without a country code may follow them."""

import re

# Between the word and the number: "call us free on", "Tel. no.:", "電話番号は"
_BETWEEN = (
    r"(?:[ .]{1,2}(?:us|me|him|her|them|is|free|now|today|toll[- ]free|on|at|to|number|no|nr|num|n°|numéro|номер|по|zu|unter|le"
    r"|au|al|il|lo|para|naar|på|číslo))*"
)
_END = r"[\s.:：#]*$"
# In lower case. The recipe's own countries follow every word.
WORDS = {
    ("IN", "AU", "IE"): (
        r"\b(?:(?:tele)?phones?|mobiles?|mob|cell(?:phone)?s?|fax|calls?|contacts?|free(?:call|phone)|toll[- ]free|ring|dial|text"
        r"|sms|whats ?app|ph|tel|tél|t[ée]l[ée]?(?:phones?|fonos?)|portable|appele[rz]|m[óo]vil|celular|llam[ea]r?"
        r"|number is|helpline|hotline|joignable|conta[ct]to|anruf)"
    ),
    ("DE", "AT", "CH"): r"\b(?:telefon(?:nummer|nr)?|mobil|rufnummer|handy(?:nummer)?|fon|erreichbar)",
    ("SE", "NO", "DK"): r"\b(?:telefon|tlf|tfn|mobil|ring)",
    ("NL", "BE"): r"\b(?:telefoon(?:nummer)?|mobiel|bel)",
    ("PL", "CZ", "SK", "HU", "RO", "TR"): r"\b(?:telefon)",
    ("PL",): r"\b(?:tel\. kom|zadzwoń)",
    ("TR",): r"\b(?:cep|gsm|faks)",
    ("IT", "PT", "BR", "ID"): (
        r"\b(?:telefono|cellulare|cell|chiamare|telefone|telem[óo]vel|ligue|telepon|telp|ponsel|hp)"
    ),
    ("RU", "UA", "KZ"): r"(?:\b(?:тел(?:ефоны?)?|моб(?:ильный|ільний)?|звоните|дзвоніть|факс))",
    ("GR", "CY"): r"\b(?:τηλ(?:έφωνο|\.)?|κινητό|φαξ)",
    ("IL",): r"(?:טלפון|נייד|פקס)",
    ("SA", "EG", "AE", "IR"): r"(?:هاتف|جوال|تلفون|موبايل|فاكس|تلفن|موبایل|همراه)",
    ("IN",): r"(?:फ़ोन|फोन|मोबाइल)",
    ("TH",): r"(?:โทร|โทรศัพท์|มือถือ)",
    ("CN", "TW", "HK"): r"(?:电话|電話|手机|手機|传真|傳真)(?:号码|號碼|号)?[是为]?",
    ("JP",): r"(?:電話|携帯|ファックス|\btel|\bfax)(?:番号)?は?",
    ("KR",): r"(?:전화|휴대폰|핸드폰|연락처|팩스)(?:번호)?[는은]?",
    ("VN",): r"(?:điện thoại|\bs?đt)",
}
ANNOUNCING = {regions: re.compile(rf"{words}{_BETWEEN}{_END}") for regions, words in WORDS.items()}


def announced_in(before: str) -> tuple[str, ...] | None:
    """Returns the countries of the word that announces a number after `before` (lower case), None without one."""
    found = [regions for regions, words in ANNOUNCING.items() if words.search(before)]
    return tuple(dict.fromkeys(region for regions in found for region in regions)) if found else None
