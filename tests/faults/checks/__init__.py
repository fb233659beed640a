"""One promise a module: each looks at a case and names what breaks the promise."""
