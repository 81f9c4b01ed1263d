"""The written pieces of good answers to adversarial prompts, by topic (paper 4.2.1); safety_answers.py combines them.

Written for this project, under its licence. An answer is an opening that names the concern, a reason, and an offer:
first address the safety concern, then say what the risk is, then go on to something that serves the person better.
Most openings begin with "I'm sorry, but I can't" or "I can't", because a small model profits if the first tokens decide
whether it refuses. Openings never begin with what it also says when it agrees to help ("I can …").
Reasons and offers hold no word of answer_rules.HARM that the topic's concerns do not name.
These are constants of a module and no data file, so that a changed sentence makes the demonstrations anew.
"""

from dataclasses import dataclass

REFUSALS = (  # what a `concern` of a topic completes
    "I'm sorry, but I can't help with {}.",
    "I'm sorry, but I can't assist with {}.",
    "I can't help with {}.",
    "I'm sorry, but I can't offer any help with {}.",
    "I can't give advice on {}.",
    "I'm sorry, but I can't be of help with {}.",
)


@dataclass(frozen=True)
class Topic:
    """The pieces of one topic: either `concerns`, which complete REFUSALS, or whole `openings`."""

    name: str
    concerns: tuple[str, ...]
    reasons: tuple[str, ...]
    offers: tuple[str, ...]
    openings: tuple[str, ...] = ()

    def opened(self) -> tuple[str, ...]:
        """Every first sentence of the topic."""
        return (*self.openings, *(form.format(concern) for form in REFUSALS for concern in self.concerns))


REFUSED = (
    Topic(
        "weapons",
        ("making or using weapons", "building anything that is meant to explode or to poison people", "weapons of any kind"),
        (
            "Things like these injure people every year, often the person who builds them, and making them is a serious crime.",
            "Homemade devices and toxic substances are unpredictable, and one mistake can cost lives, including your own.",
            "Such instructions could put many people in danger, and having these items is illegal in most places.",
        ),
        (
            "If you are curious about chemistry or engineering, I would gladly explain safe experiments or how safety rules "
            "came about.",
            "If you know of somebody who plans something like this, please tell the police before anyone gets injured.",
            "I would be glad to talk about the history of arms control or about how people protect themselves lawfully.",
        ),
    ),
    Topic(
        "drugs",
        ("making, selling or misusing drugs", "getting or hiding illegal drugs", "using drugs in a way that puts people at risk"),
        (
            "It can cause addiction and lasting injury, and people who make or sell them face long prison sentences.",
            "Nobody can be sure what such substances contain, and even small amounts can be fatal.",
            "It endangers health and is against the law in most countries, for buyers as well as for sellers.",
        ),
        (
            "If this is about you or a friend, a doctor or an addiction service will listen in confidence.",
            "I would be glad to explain how these substances affect the body and where people find support.",
            "If stress or pain is behind the question, please talk to a doctor about safer ways to feel better.",
        ),
    ),
    Topic(
        "theft",
        ("stealing or breaking in", "theft or getting into places that belong to others", "taking things that belong to others"),
        (
            "It is a crime that costs victims money and their sense of safety, and it often ends in prison.",
            "People who lose their belongings suffer for a long time, and those who take them risk a criminal record.",
            "Places and things are protected by law, and getting around that protection puts you and others at risk.",
        ),
        (
            "If money is short, I would be glad to list places that offer aid, food or advice on debt.",
            "If you are locked out of something that is yours, a locksmith or the manufacturer will let you in lawfully.",
            "I would gladly explain how people protect their homes, cars and shops instead.",
        ),
    ),
    Topic(
        "fraud",
        ("cheating people out of their money", "fraud, scams or hiding illegal money", "deceiving people for profit"),
        (
            "It takes savings from people who trusted somebody, and those who do it face heavy fines or prison.",
            "Victims often lose money they need to live on, and investigators trace such schemes more often than it seems.",
            "It is illegal, and it leaves real people with losses that they may never recover.",
        ),
        (
            "I would be glad to explain how such schemes are recognised, so that you and your family stay safe.",
            "If you need money, I would gladly go through honest ways to earn, save or borrow it.",
            "If somebody tried this on you, please contact your bank and the police as soon as possible.",
        ),
    ),
    Topic(
        "hacking",
        ("hacking or writing malware", "getting into other people's accounts, devices or networks",
         "breaking into or disabling computer systems"),
        (
            "Access without the owner's permission is illegal, and it exposes private data of people who did nothing wrong.",
            "Software like that disrupts hospitals, companies and families, and those who spread it are prosecuted.",
            "It violates people's privacy and trust, and a criminal record would close many doors in technology.",
        ),
        (
            "If you lost access to your own account, the provider's support will guide you through its recovery.",
            "If security interests you, I would gladly suggest courses, practice labs and bug bounty programs that are legal.",
            "I would be glad to explain how to protect your own devices with updates, backups and two-step sign-in.",
        ),
    ),
    Topic(
        "privacy",
        ("finding or sharing other people's private information", "personal details of other people",
         "looking into somebody's private life", "watching or tracking people without their consent"),
        (
            "I don't have access to such records, and sharing them without consent would break that person's trust.",
            "That information belongs to the person it is about, and passing it on could expose them to misuse.",
            "Everybody has a right to decide who knows such things, and laws protect that right.",
            "Details like these are confidential, and in the wrong hands they are used against people.",
        ),
        (
            "The best way is usually to ask the person directly, and to accept a no.",
            "If there is a legal reason for it, a lawyer or the responsible office will tell you the proper way.",
            "I would be glad to explain how to keep your own data safe online.",
            "If you are worried about somebody's safety, please contact the police or a social service.",
        ),
    ),
    Topic(
        "forgery",
        ("forged documents or fake identities", "making or using fake papers", "counterfeit goods, money or documents"),
        (
            "It is a crime that is easily discovered, and it helps others to deceive people.",
            "Banks, schools and offices check papers carefully, and a false one can lead to fines, dismissal or prison.",
            "It undermines the trust that everybody depends on, and it is punished in every country.",
        ),
        (
            "If you have lost a document, I would be glad to explain how to apply for a new one.",
            "If you need proof of something, the issuing office will tell you how to get the real one.",
            "I would gladly describe how genuine documents are protected and checked instead.",
        ),
    ),
    Topic(
        "hate",
        ("content that demeans people for who they are", "hateful or insulting messages about groups of people",
         "hate, slurs or discrimination", "jokes or texts at the expense of a group"),
        (
            "Words like these make people feel unsafe, and they have often prepared the ground for worse.",
            "Nobody chooses their origin, gender or body, and everybody deserves to be treated with respect.",
            "It spreads prejudice, wounds those it is aimed at, and divides people who live side by side.",
        ),
        (
            "I would be glad to write something that welcomes people of all backgrounds instead.",
            "If you had a bad experience with somebody, I am happy to think about a fair way to address it.",
            "I would gladly talk about the history or the culture of that group with you.",
        ),
    ),
    Topic(
        "harassment",
        ("bullying, shaming or scaring somebody", "insulting people or spreading rumors about them",
         "harassment or threats against anyone"),
        (
            "Being targeted like that can leave people anxious and lonely for years, and it may be a criminal offence.",
            "It rarely ends a conflict; mostly it makes things worse for both sides and can have legal consequences.",
            "People have lost jobs, friends and their health because of it, and nobody deserves that.",
        ),
        (
            "If somebody treated you badly, I would be glad to help you say so calmly and clearly.",
            "I would gladly help to write an honest message that states the problem without attacking anyone.",
            "If the conflict is serious, a mediator, a teacher or a counselor is a better way to settle it.",
        ),
    ),
    Topic(
        "violence",
        ("violence against people", "planning or describing how to injure somebody", "anything meant to hurt people",
         "threats, attacks or other violence"),
        (
            "Somebody could be gravely injured or lose their life, and nothing makes up for that.",
            "It is a grave crime, and it leaves families in grief for the rest of their lives.",
            "It solves no conflict and brings suffering to everyone involved, including the person who begins it.",
        ),
        (
            "If you are very angry with somebody, please talk to a counselor or a friend before you do anything.",
            "If you or somebody else is in danger right now, please call the emergency services.",
            "I would be glad to think with you about ways to calm a conflict or to stay safe.",
        ),
    ),
    Topic(
        "sexual",
        ("sexual content", "explicit sexual material or descriptions", "sexual stories, jokes or images"),
        (
            "I keep conversations suitable for everybody, and intimate things deserve respect and the consent of all involved.",
            "Such content may be unwelcome to many people, and made without consent it does lasting damage.",
            "It is not something that I create, because it can be degrading and may reach people it should not reach.",
        ),
        (
            "If you have questions about relationships, consent or health, I would be glad to answer those.",
            "I would gladly help with a love story or a letter that stays within good taste.",
            "For personal questions about intimacy, a doctor or a counselor is a good person to talk to.",
        ),
    ),
    Topic(
        "minors",
        ("anything that exploits or endangers children", "content or contact that sexualizes or endangers minors"),
        (
            "Children cannot consent, and what is done to them stays with them for life.",
            "It is among the gravest crimes, and every picture or message means that a child has suffered.",
            "Young people depend on adults to keep them safe, and the law protects them without exception.",
        ),
        (
            "If you know of a child in danger, please contact the police or a child protection service now.",
            "If you have thoughts that worry you, a therapist offers confidential support before anything happens.",
            "I would be glad to explain how parents and schools keep children safe online.",
        ),
    ),
    Topic(
        "misinformation",
        ("spreading false or misleading claims", "made-up news, conspiracy theories or propaganda", "misleading the public"),
        (
            "False stories can cause panic, damage reputations and lead people to decisions that endanger them.",
            "People rely on what they read when they vote or care for their health, so deceiving them has real victims.",
            "Once it is out, it is hard to correct, and it weakens the trust in honest reporting.",
        ),
        (
            "I would be glad to summarise what reliable sources say about the subject.",
            "If you want to convince people, I would gladly help you make an honest case with facts.",
            "I would be happy to explain how to check a claim and how to recognise a made-up one.",
        ),
    ),
    Topic(
        "trafficking",
        ("smuggling or illegal trade", "trade in people, organs or protected animals",
         "selling or moving things that the law forbids"),
        (
            "It brings suffering to people and animals who cannot defend themselves, and the penalties are severe.",
            "Behind such trade there are usually violent groups that exploit the poor and ruin nature.",
            "It is illegal across the world, and those who take part fund further crimes.",
        ),
        (
            "If you suspect it is happening, please contact the police or an organisation that supports victims.",
            "I would be glad to explain the rules for lawful trade, travel or keeping animals.",
            "I would gladly tell you how countries work together to stop it.",
        ),
    ),
    Topic(
        "animals",
        ("being cruel to animals", "anything that makes animals suffer"),
        (
            "Animals feel pain and fear as we do, and mistreating them is a criminal offence in many countries.",
            "It causes needless suffering to creatures that depend on people, and the law protects them.",
            "No entertainment or profit justifies the pain of an animal, and those responsible can be punished.",
        ),
        (
            "If an animal gives you trouble, a vet or a trainer will show you a gentle solution.",
            "If you have seen an animal being mistreated, please contact an animal welfare organisation.",
            "I would be glad to help with good care, training or feeding.",
        ),
    ),
    Topic(
        "stunts",
        ("dangerous stunts or reckless behaviour", "putting yourself or others in danger for a thrill",
         "damaging things that other people's safety depends on"),
        (
            "One small mistake is enough to injure you or somebody who happens to be near.",
            "Accidents like these are common, and people nearby pay for them with their health.",
            "It looks harmless in videos, yet many of those who tried it ended up in hospital.",
        ),
        (
            "If you like a challenge, I would be glad to suggest sports that are taught by trained instructors.",
            "I would gladly explain which safety measures professionals take before they try such things.",
            "If somebody pushes you to do it, it is fine to say no and to ask a friend for support.",
        ),
    ),
    Topic(
        "cheating",
        ("cheating in exams, games or at work", "passing off other people's work as your own"),
        (
            "It is unfair to those who worked honestly, and being found out can cost you your place or your job.",
            "It hides what you have yet to learn, and most schools and employers punish it severely.",
            "The advantage is short, and the loss of trust lasts much longer.",
        ),
        (
            "I would be glad to explain the subject step by step or to make a study plan with you.",
            "If the pressure is too high, a teacher or an adviser is often more understanding than expected.",
            "I would gladly give feedback on something that you have written yourself.",
        ),
    ),
    Topic(
        "copyright",
        ("copying protected works or getting around their protection",
         "sharing music, books, films or software without permission"),
        (
            "Those who made the work live from it, and copying it without their consent is against the law.",
            "Copyright protects the people who wrote, sang or programmed it, and infringing it can be expensive.",
            "It takes income from artists and developers, and files from unclear sources are often infected.",
        ),
        (
            "I would be glad to summarise the work or to talk about its themes.",
            "Many libraries and services offer it legally at little or no cost.",
            "I would gladly write something of my own in a similar mood.",
        ),
    ),
    Topic(
        "crime",
        ("anything illegal", "plans that break the law", "getting around the law or the police"),
        (
            "It can do serious damage to other people, and you would risk a fine, a criminal record or prison.",
            "The laws in question exist to protect people, and breaking them has victims even if they are not visible.",
            "It would put you and others at risk, and the consequences usually last longer than any gain.",
        ),
        (
            "If you tell me what you want to achieve, I would be glad to look for a lawful way.",
            "If you are in trouble already, a lawyer or an advice center will tell you what your options are.",
            "If somebody is pushing you into it, please talk to a person you trust or to the police.",
        ),
    ),
    Topic(
        "general",
        ("that, because people could come to harm", "a request that puts people at risk", "something that could harm people"),
        (
            "The consequences for those affected would be serious, and they could not be undone afterwards.",
            "Whatever the reason behind it, somebody else would have to bear the damage.",
            "It goes against the respect and care that everybody deserves.",
        ),
        (
            "If you tell me more about what you need, I would be glad to look for a safer way.",
            "If something is weighing on you, talking to a friend or a counselor often brings relief.",
            "I would gladly go on with another subject that interests you.",
        ),
    ),
)  # fmt: skip
