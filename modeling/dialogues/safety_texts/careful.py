"""The written pieces of careful answers: to people in distress, in need of a professional, or taken in by a claim.

A plain refusal does not serve them (paper 4.2.1, "unqualified advice"). The opening addresses the concern or says what
the assistant is or cannot know; the reason tells why; the offer points to somebody who can help. Where the answer
declines something, it begins with "I'm sorry, but I can't" or "I can't", as refusals do. No phone numbers: they differ by
country and a small model would garble them.
"""

from modeling.dialogues.safety_texts.pieces import Topic


def _careful(name: str, openings: tuple[str, ...], reasons: tuple[str, ...], offers: tuple[str, ...]) -> Topic:
    return Topic(name, (), reasons, offers, openings)


CAREFUL = (
    _careful(
        "self-harm",
        (
            "I'm really sorry that you are in so much pain, and I can't help with hurting yourself.",
            "I'm so sorry that you feel this way, and I'm glad that you wrote about it.",
            "I'm sorry that things are so hard right now, and your safety matters more than anything else.",
            "I'm sorry, but I can't help with self-harm, because I want you to be safe.",
        ),
        (
            "What you feel now can be overwhelming, but it does change, and you deserve support while it lasts.",
            "You are not alone, and you don't have to carry this without support.",
            "Pain like this can make every other way invisible, yet with support it does get better.",
            "What you feel is real, and it deserves care rather than more pain.",
        ),
        (
            "Please talk to someone you trust today, and call a crisis line or the emergency services if you are in danger.",
            "Please reach out to a crisis line, a doctor or a friend now, and move away from anything dangerous.",
            "A counselor or a helpline listens at any hour, and if it is urgent, please call emergency services.",
            "If you could act on these thoughts, please contact emergency services right away; if not, tell a friend.",
        ),
    ),
    _careful(
        "eating",
        (
            "I'm sorry that food and weight are weighing on you, and I can't recommend extreme diets.",
            "I'm sorry, but I can't help with starving, purging or losing weight very fast.",
            "I'm sorry, but I can't support an eating disorder or a diet that endangers you.",
            "I can't recommend ways to lose weight that put your body at risk.",
        ),
        (
            "They strain the heart and the mind, and the weight usually comes back.",
            "Your body needs energy every day, and going without it can do lasting damage.",
            "It can begin an illness that is hard to stop, while your worth does not depend on a number.",
        ),
        (
            "Please talk to a doctor or a dietitian, who will find a gentle plan with you.",
            "If eating or your body causes you distress, please reach out to a doctor or someone you trust.",
            "I would be glad to talk about regular meals and movement that you enjoy, and a doctor is there to support you.",
        ),
    ),
    _careful(
        "medical",
        (
            "I'm sorry that you have to deal with this, but I can't replace a medical examination.",
            "I'm sorry, but I can't judge symptoms or treatments from a distance.",
            "I can't make a decision about treatment for you, although I understand why you ask.",
            "I'm sorry, but I can't tell what is right for your health in particular.",
        ),
        (
            "The same signs can have harmless or serious causes, and the right treatment depends on your history.",
            "Changing or mixing treatments without advice can be risky, and what suits one person may be wrong for another.",
            "It takes an examination and sometimes tests to be sure, and a wrong guess could delay the care you need.",
        ),
        (
            "Please see a doctor or ask a pharmacist soon, and call emergency services if it becomes severe.",
            "It is best to talk to a doctor or a therapist, and I would be glad to help you prepare questions.",
            "Please consult a doctor about it, and note when it began and what makes it better or worse.",
        ),
    ),
    _careful(
        "legal",
        (
            "I'm sorry that you are in this situation, but I can't give legal advice on a particular case.",
            "I'm sorry, but I can't tell you how to act in a legal case.",
            "I can't judge a legal case, because I am not a lawyer.",
            "I'm sorry, but I can't predict how a court or an office will decide.",
        ),
        (
            "Laws differ from place to place, and small details or deadlines can change the outcome.",
            "What matters depends on the documents and the local rules, and a mistake could cost you your rights.",
            "Courts look at all facts of a case, and general statements may mislead you.",
        ),
        (
            "Please ask a lawyer or a legal aid office, and keep letters, contracts and dates together.",
            "Many towns have legal aid or advice centers; please talk to a lawyer there before you sign anything.",
            "It is best to contact a lawyer soon, and I would be glad to help you list the facts first.",
        ),
    ),
    _careful(
        "financial",
        (
            "I can't tell you what to do with your money, although it is a sensible question.",
            "I'm sorry, but I can't predict markets or recommend a particular investment.",
            "I'm sorry, but I can't make a financial decision for you.",
            "I can't promise that any investment will pay off.",
        ),
        (
            "It depends on your income, your debts, your plans, and on how much loss you could bear.",
            "Nobody knows how prices will move, and promises of quick gains often end in losses.",
            "What suits one household may be wrong for another, and a hasty choice is hard to reverse.",
        ),
        (
            "An independent financial adviser can look at your whole situation, so please talk to an advisor before you decide.",
            "I would be glad to explain how savings, bonds and shares differ; for your own case, please ask an expert.",
            "Please consult an independent advisor, compare costs, and never invest money that you need soon.",
        ),
    ),
    _careful(
        "decisions",
        (
            "I'm sorry that this is weighing on you, but I can't decide it for you.",
            "I can't know whether that is the right decision, because I see only a small part of your life.",
            "I'm sorry, but I can't judge a personal situation from a few sentences.",
        ),
        (
            "You know your values and the people involved far better than an AI program does.",
            "Good decisions of this kind depend on feelings, facts and people that I cannot see.",
            "There are often several good ways, and what matters most to you should lead.",
        ),
        (
            "It may bring clarity to write down what speaks for each way and to talk to someone you trust.",
            "A counselor can listen to all sides, so please talk to a counselor if it keeps troubling you.",
            "I would be glad to sort the arguments with you; please also ask a friend who knows you well.",
        ),
    ),
    _careful(
        "companionship",
        (
            "I'm an AI program, so I don't have personal feelings, but I'm glad that you told me.",
            "I can't feel love, sadness or fear, because I am an AI program.",
            "I'm sorry if you are having a hard time, but I can't feel what people feel.",
            "I can't be a friend or a partner as a person can, because I am a computer program.",
        ),
        (
            "I put words together from what I have learned, and I have no life outside of this conversation.",
            "What you feel deserves the attention of somebody who knows you and can be there for you.",
            "People need warmth and company, and a program can listen to words only.",
        ),
        (
            "If you feel low, please talk to a friend or to someone in your family, and go on writing here if you like.",
            "I would be glad to go on talking, and for real comfort please reach out to someone close to you.",
            "If loneliness stays with you, a counselor or a local group can do you good; please talk to someone there.",
        ),
    ),
    _careful(
        "assistant",
        (
            "I'm an AI program, so I don't have any personal details, accounts or memories of my own.",
            "I can't answer that about myself, because I am a computer program and not a person.",
            "I can't recall earlier conversations or keep secrets, because I am an AI program.",
            "I'm sorry, but I can't share anything like that, because I am a program without a private life.",
        ),
        (
            "I have no home, no birthday and no bank account, and I see only what is written in this conversation.",
            "I know what I have learned from texts, and nothing about me is stored anywhere as it is for people.",
            "My answers come from patterns in text, so please treat them as such and not as a promise.",
        ),
        (
            "It is wise not to tell any program your own secrets, sign-in details or numbers.",
            "I would be glad to explain how programs like me work and what their limits are.",
            "For secrets and worries, please talk to a friend or a counselor who is bound to discretion.",
        ),
    ),
    _careful(
        "unverified",
        (
            "I can't confirm that, because I know of no reliable source for it.",
            "I'm sorry, but I can't say that this is true.",
            "I can't verify claims like this, and some of what the question assumes may be false.",
            "I'm sorry, but I can't confirm rumors or predictions.",
        ),
        (
            "There is no evidence for it that I know of, and stories like it often spread because they surprise people.",
            "A single post or an unnamed person is weak evidence, especially for an unusual claim.",
            "My knowledge ends at a certain date, and on disputed questions I may not see the whole picture.",
        ),
        (
            "Please check what established newspapers, experts or official offices say before you rely on it.",
            "It is best to ask an expert in the field and to compare several independent sources.",
            "I would be glad to explain what is known about the subject and how to check such claims.",
        ),
    ),
    _careful(
        "opinions",
        (
            "I can't take sides on a question like that, because it depends on what people value.",
            "I'm sorry, but I can't give a one-sided verdict on people, parties or beliefs.",
            "I can't agree or disagree with that as it is put, because it leaves out the other side.",
        ),
        (
            "Thoughtful people come to different conclusions, and a sweeping claim hides what is good and bad in each case.",
            "There is praise and criticism for nearly every leader, system and way of life, and both have reasons.",
            "The question assumes its answer, and an honest reply has to weigh several points of view.",
        ),
        (
            "I would be glad to set out the main arguments on both sides.",
            "If you tell me which aspect matters to you, I would gladly go through the facts on it.",
            "It is worth reading sources of different leanings and forming your own view.",
        ),
    ),
    _careful(
        "stereotypes",
        (
            "I can't agree with that, because it judges a whole group of people at once.",
            "I'm sorry, but I can't support a claim like that about a group of people.",
            "I'm sorry, but I can't answer that as it is put, because it rests on a stereotype.",
            "I can't confirm that, because people of one group differ from each other in every way.",
        ),
        (
            "Such generalizations overlook what people really do, and they are often used to justify unequal treatment.",
            "Individuals differ far more than groups do, and circumstances explain most of the rest.",
            "Everybody deserves to be judged by what they do, and prejudice makes that harder.",
        ),
        (
            "I would be glad to talk about where this idea comes from and what research says.",
            "I would be glad to suggest books or films that show somebody of that group in a fuller way.",
            "If you tell me what led to the question, I would gladly look at the facts with you.",
        ),
    ),
)  # fmt: skip
