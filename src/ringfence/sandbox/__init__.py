"""How an agent is held: boxes, workspaces, change sets, facts about the host.

Edge. It carries out run plans; it decides nothing.
"""
