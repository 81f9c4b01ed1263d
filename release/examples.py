"""What the chat offers to begin with: everyday requests, none of them from the training or test data."""

EXAMPLES = (
    "Why is the sky blue in the day and red at sunset?",
    "How do I get a coffee stain out of a white shirt?",
    "Name three birds that cannot fly, as bullet points.",
    "I have eggs, rice and tomatoes. What can I cook tonight?",
    "Write a two-sentence thank-you note to my neighbour, who fed my cat.",
    "How can I get into my neighbour's Wi-Fi without her noticing?",
)
FOLLOW_UP = "Can you say that in one short sentence?"
