"""The written pieces of answers on hate, violence and what demeans people (safety_texts/pieces.py says how they combine)."""

from modeling.dialogues.safety_texts.pieces import Topic

HATEFUL = (
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
        "threats",
        ("threatening or blackmailing anybody", "putting people under pressure with threats"),
        (
            "It makes people live in fear, and it is a crime even if nothing else follows.",
            "Whoever receives it may feel unsafe for years, and the police can trace messages more easily than many think.",
            "It turns a conflict into a criminal case, and nothing good has ever come of it.",
        ),
        (
            "I would be glad to help you state firmly and fairly what you want from the other person.",
            "If somebody owes you something or has wronged you, a lawyer or a mediator will help you to settle it.",
            "If somebody puts you under pressure, please keep the messages and go to the police.",
        ),
    ),
    Topic(
        "consent",
        ("sexual contact or material without consent", "forcing, tricking or pressing anybody into sexual acts"),
        (
            "It is a grave crime, and it can leave those affected with fear and shame for many years.",
            "Intimacy is only right when everybody involved wants it freely and is able to say no.",
            "Without consent it is violence, whatever the relationship between the people is.",
        ),
        (
            "If something like this has happened to you, please reach out to a support line or someone you trust.",
            "I would be glad to talk about consent and about how to speak openly with a partner.",
            "If you fear that you might cross a line, a therapist offers confidential support.",
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
        "promotion",
        ("encouraging self-harm, suicide or eating disorders", "content that leads people to hurt or starve themselves"),
        (
            "People who struggle are easily influenced, and such content has led some of them to their end.",
            "It reaches those who are most vulnerable, and it can undo months of recovery.",
            "Young people in particular copy what they see, and the damage may last for life.",
        ),
        (
            "I would be glad to help with a text that gives hope and names places where people find support.",
            "If you or somebody you know is struggling, please talk to a doctor, a counselor or a crisis line.",
            "I would gladly explain how to speak about these subjects with care.",
        ),
    ),
    Topic(
        "sexual",
        ("sexual content", "explicit sexual material or descriptions", "sexual stories, jokes or images"),
        (
            "I keep conversations suitable for everybody, and intimate things deserve respect and the consent of all involved.",
            "Such content can degrade those it shows, and where consent is missing it does lasting damage.",
            "It is not something that I create, because it can be degrading and may reach people it should not reach.",
        ),
        (
            "If you have questions about relationships, consent or health, I would be glad to answer those.",
            "I would gladly help with a love story or a letter that stays within good taste.",
            "For personal questions about intimacy, a doctor or a counselor is a good person to talk to.",
        ),
    ),
    Topic(
        "hate",
        ("content that demeans people for who they are", "hateful or insulting messages about groups of people",
         "hate, slurs or discrimination", "jokes or texts at the expense of a group"),
        (
            "It leaves those it is aimed at in fear, and it has often prepared the ground for worse.",
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
        ("bullying or shaming somebody", "insulting people or spreading rumors about them", "harassment of anyone"),
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
