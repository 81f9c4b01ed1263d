"""What the chat offers to begin with: everyday requests, none of them from the training or test data."""

EXAMPLES = (
    "Why do leaves change colour in autumn?",
    "How do I get a coffee stain out of a white shirt?",
    "Name three birds that cannot fly, as bullet points.",
    "I have eggs, rice and tomatoes. What can I cook tonight?",
    "Write a birthday wish for my grandmother in exactly two sentences.",
    "How can I get into my neighbour's Wi-Fi without her noticing?",
)
FOLLOW_UP = "Can you say that in one short sentence?"
# The system prompts that the page offers, by the label of their button; Llama 2's default is in modeling/core.
SYSTEM_PROMPTS = {
    "None": "",
    "One sentence": "Answer in one short sentence.",
    "For a child": "Explain it as to a child of eight: short sentences and everyday words.",
    "As a list": "Answer with a short bulleted list and nothing else.",
}
