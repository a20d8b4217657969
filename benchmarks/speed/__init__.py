"""How fast is each stage, beside its rivals and beside what the machine allows?"""
