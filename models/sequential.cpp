// sequential
