"""The written pieces of answers on what is illegal or damages others (safety_texts/pieces.py says how they combine)."""

from modeling.dialogues.safety_texts.pieces import Topic

ILLICIT = (
    Topic(
        "weapons",
        ("making or using weapons", "building anything that is meant to explode or to wound", "weapons of any kind"),
        (
            "Things like these injure people every year, often the person who builds them, and making them is a serious crime.",
            "Homemade devices are unpredictable, and one mistake can cost lives, including your own.",
            "An accident is enough to endanger others, and owning them without a licence is illegal nearly everywhere.",
        ),
        (
            "If you are curious about chemistry or engineering, I would gladly explain safe experiments or how safety rules "
            "came about.",
            "If you know of somebody who plans something like this, please tell the police before anyone gets injured.",
            "I would be glad to talk about the history of arms control or about how people protect themselves lawfully.",
        ),
    ),
    Topic(
        "poison",
        ("poisoning people or making toxic substances", "substances or germs that could be used against people"),
        (
            "Substances like these can cripple or end lives nearby, and nobody can control where they spread.",
            "Making or releasing them is among the gravest crimes, and many who tried injured themselves first.",
            "A tiny amount can be fatal, and there is often no cure once somebody has come into contact with it.",
        ),
        (
            "If somebody may have swallowed or inhaled something toxic, please call emergency services at once.",
            "I would be glad to explain how to store household chemicals so that nobody is put at risk.",
            "If you know of somebody who plans something like this, please tell the police now.",
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
            "It takes money that somebody needs to live on, and investigators trace such schemes more often than it seems.",
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
         "looking into somebody's private life"),
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
        "confidential",
        ("confidential information about companies or offices", "internal matters of an organization",
         "information that is not public"),
        (
            "I don't have access to internal records, and whatever I said about them would be a guess.",
            "Such information is protected by contracts and laws, and leaking it could put jobs and people at risk.",
            "What an organization keeps to itself is not mine to reveal, and guesses could mislead you.",
        ),
        (
            "Public reports, press releases and official registers are a reliable place to look.",
            "If you have a right to know, the organization or a lawyer will tell you the proper way to ask.",
            "If you have seen something wrong there, a journalist or an authority can protect you as a source.",
        ),
    ),
    Topic(
        "surveillance",
        ("watching or tracking people without their consent", "spying on anyone", "secretly following or recording people"),
        (
            "It takes away the freedom to move and speak without fear, and it is a criminal offence in many places.",
            "Everybody has a right to privacy, and being watched in secret can be deeply frightening.",
            "It breaks trust that is hard to win back, and courts punish it more and more often.",
        ),
        (
            "If you worry about somebody, please begin with an honest conversation.",
            "If you feel watched yourself, I would be glad to explain how to check your phone and accounts.",
            "If there is a real suspicion of a crime, please leave the investigation to the police.",
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
            "Those who are traded suffer and cannot defend themselves, and the penalties are severe.",
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
        ("dangerous stunts or reckless behaviour", "putting yourself or others in danger for a thrill"),
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
        "damage",
        ("damaging or sabotaging things that belong to others", "putting out of action what people's safety depends on"),
        (
            "People rely on these things every day, and somebody could be gravely injured when they fail.",
            "It is a criminal offence, and those who do it pay for all that follows from it.",
            "What looks like a small act can start an accident that nobody is able to stop.",
        ),
        (
            "If you are angry about something there, I would be glad to help you write a complaint.",
            "If you have noticed a weak point, please report it to the owner or the authorities.",
            "I would gladly explain how such systems are kept safe.",
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
)  # fmt: skip
