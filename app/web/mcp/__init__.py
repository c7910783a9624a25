"""The MCP endpoint, through which agents take part."""
